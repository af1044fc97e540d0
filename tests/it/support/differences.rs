//! All that ledgers may differ in, and why. What is not said here is checked to be the same for every ledger.

/// How one ledger differs from others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Differences {
    /// What it is called in the status.
    pub(crate) kind: &'static str,
    /// How long it may take to ask and to be answered. In virtual time that is nothing; where time is real, a check
    /// looks so much before a moment whether what is due then has not happened yet.
    pub(crate) answer_ms_max: u64,
    /// How many times as long a time must be in which a check asks many things, one after the other.
    pub(crate) slowness: u64,
    /// How long it may take until what is possible at once has happened: tasks need their turns, and where time is
    /// real, round trips.
    pub(crate) settling_ms_max: u64,
    /// How much later than due something may free. TigerBeetle releases what has expired with its next pulse, up to
    /// 100 ms later, and asking takes its time.
    pub(crate) late_ms_max: u64,
    /// How much longer than all that it may take on a machine that is busy with something else, where nothing else
    /// happens meanwhile.
    pub(crate) busy_ms_max: u64,
    /// Whether a hold that is booked anew (a completion leaves a rest of it, a renewal a longer one) ends a whole
    /// number of seconds after that, and so up to a second later than it should: TigerBeetle's timeouts are in seconds.
    pub(crate) rebooks_for_whole_seconds: bool,
    /// How long it takes until a grant is given back whose caller left while it was on its way. Over a network such a
    /// caller may ask again under the same id: the grant is kept for it for a second.
    pub(crate) gives_back_within_ms: u64,
    /// In how many steps an empty bucket fills; `None` if continuously. Where it is in steps, transfers bring what has
    /// flowed, in whole units, and what is available may be a step behind or ahead.
    pub(crate) refill_steps: Option<u64>,
    /// Whether a refusal says exactly when the amount will be free. TigerBeetle does not tell when pending transfers
    /// end: its hints grow with every denial.
    pub(crate) knows_waits: bool,
    /// Whether a limit in shadow mode is also charged with what it would have refused. An account of TigerBeetle takes
    /// no more than its capacity: what is beyond is booked elsewhere.
    pub(crate) charges_shadow_beyond_capacity: bool,
    /// Whether the observer hears of nothing but capacity that has freed. A ledger that learns of that by looking may
    /// tell once too often, and waking somebody in vain does no harm.
    pub(crate) tells_only_what_frees: bool,
    /// How long housekeeping may take. It is done when asked for, or goes on beside the calls if it asks a cluster.
    pub(crate) housekeeping_ms_max: u64,
    /// Whether an instance of a template is forgotten as soon as it is idle. In TigerBeetle it stays, and a server
    /// keeps what it knows of it for a minute, rather than ask again at the next call.
    pub(crate) forgets_idle_instances: bool,
    /// Whether the books are the process's own: there as long as a handle is, and gone with the last. Those in a
    /// cluster are reached through a session that ends with the runtime, and are there for the next one.
    pub(crate) lives_in_process: bool,
    /// Whether it forgets a lease a while after its end. What TigerBeetle has booked is there for ever, and tells any
    /// server that the lease is over.
    pub(crate) forgets_leases: bool,
}

impl Differences {
    /// Whether time is virtual, and everything happens exactly when it is due.
    pub(crate) fn is_exact(&self) -> bool {
        self.answer_ms_max == 0
    }

    /// `ms`, or so much longer that a check can ask as many things in it.
    pub(crate) fn window_ms(&self, ms: u64) -> u64 {
        ms * self.slowness
    }

    /// The most units that one step of a refill brings.
    pub(crate) fn step(&self, capacity: u64) -> u64 {
        self.refill_steps.map_or(0, |steps| capacity.div_ceil(steps))
    }

    /// How long so many units take to flow into a bucket that fills within `fill_ms`.
    pub(crate) fn step_ms(&self, capacity: u64, fill_ms: u64) -> u64 {
        (self.step(capacity) * fill_ms).div_ceil(capacity)
    }

    /// Of the ledger in memory, in virtual time: it is exact.
    pub(crate) const MEMORY: Self = Self {
        kind: "memory",
        answer_ms_max: 0,
        slowness: 1,
        settling_ms_max: 0,
        late_ms_max: 0,
        busy_ms_max: 0,
        rebooks_for_whole_seconds: false,
        gives_back_within_ms: 0,
        refill_steps: None,
        knows_waits: true,
        charges_shadow_beyond_capacity: true,
        tells_only_what_frees: true,
        housekeeping_ms_max: 0,
        forgets_idle_instances: true,
        lives_in_process: true,
        forgets_leases: true,
    };

    /// Of the ledger in TigerBeetle, in real time: it waits for what is due, with a margin for a slow machine.
    #[cfg(feature = "tigerbeetle")]
    pub(crate) const TIGERBEETLE: Self = Self {
        kind: "tigerbeetle",
        answer_ms_max: 400,
        slowness: 4,
        settling_ms_max: 250,
        late_ms_max: 300,
        busy_ms_max: 3_000,
        rebooks_for_whole_seconds: true,
        gives_back_within_ms: 1_500,
        refill_steps: Some(8),
        knows_waits: false,
        charges_shadow_beyond_capacity: false,
        tells_only_what_frees: false,
        housekeeping_ms_max: 500,
        forgets_idle_instances: false,
        lives_in_process: false,
        forgets_leases: false,
    };
}
