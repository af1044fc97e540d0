//! What this server knows of one limit. The balances are the ledger's; here is where they are, what the definition
//! says, and what is this server's own: what a provider asked for, and what was counted.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::chart::{Chart, LimitAccounts};
use super::definition_log::{Origin, Standing};
use super::ticks::Ticks;
use crate::backends::Registered;
use crate::policy::{Counters, Key, Kind, LimitState, Mode, Moment, Overage, Restraints, retry_after};

/// How long it is known of a limit whether it owes something: other servers may make it owe.
const DEBT_KNOWN: Duration = Duration::from_secs(2);

/// How long it is known that a limit was deleted.
const DELETED_KNOWN: Duration = Duration::from_secs(1);

/// One limit.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) key: Key,
    /// What stands for the key in the ledger.
    pub(super) hash: u128,
    /// Held by the one who brings it up to date.
    pub(super) opening: tokio::sync::Mutex<()>,
    /// Refusals since it last admitted anything.
    streak: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) registered: Arc<Registered>,
    /// What the ledger says; `None` until it was asked, or when it may say something else by now.
    pub(super) standing: Option<Standing>,
    /// The version that another server deleted, and when that was learned.
    pub(super) deleted: Option<(u64, Moment)>,
    /// The rules that were last in force.
    rules: Option<Arc<Rules>>,
    pub(super) restraints: Restraints,
    pub(super) counters: Counters,
    /// It may owe something, which what frees pays first.
    pub(super) owes: bool,
    /// When that was last looked at.
    pub(super) looked_at: Moment,
    /// It is in the list of those to be looked at for debts.
    pub(super) is_listed: bool,
    /// The number of the last entry of its log that anybody has seen.
    pub(super) newest_seq: u32,
    /// The last tick that was sent by the rule in force.
    pub(super) ticked: u64,
    pub(super) used_at: Moment,
}

/// What the ledger and the definition say of a limit. Made once for many requests: the ids of accounts are digests,
/// which take a while.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) hash: u128,
    pub(super) accounts: LimitAccounts,
    pub(super) standing: Standing,
    pub(super) ticks: Option<Ticks>,
}

/// All that a request needs to know of an open limit: its rules, and how things are just now.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    rules: Arc<Rules>,
    pub(super) owes: bool,
    pub(super) paused_until: Option<Moment>,
    pub(super) withheld: u64,
}

impl Limit {
    pub(super) fn new(key: Key, hash: u128, registered: Arc<Registered>, now: Moment) -> Self {
        let state = State {
            registered,
            standing: None,
            deleted: None,
            rules: None,
            restraints: Restraints::default(),
            counters: Counters::default(),
            owes: false,
            looked_at: Moment::START,
            is_listed: false,
            newest_seq: 0,
            ticked: 0,
            used_at: now,
        };
        Self { key, hash, opening: tokio::sync::Mutex::default(), streak: AtomicU32::new(0), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing under this lock panics but a broken invariant")
    }

    /// Its terms; `None` until it is open.
    pub(super) fn terms(&self, chart: &Chart, now: Moment) -> Option<Terms> {
        let state = self.lock();
        let standing = state.standing?;
        Some(self.terms_under(state, standing, chart, now))
    }

    /// Its terms where it stands like this.
    pub(super) fn terms_of(&self, standing: Standing, chart: &Chart, now: Moment) -> Terms {
        self.terms_under(self.lock(), standing, chart, now)
    }

    fn terms_under(&self, mut state: MutexGuard<'_, State>, standing: Standing, chart: &Chart, now: Moment) -> Terms {
        state.used_at = now;
        state.restraints.expire(now);
        let rules = state.rules_under(self.hash, standing, chart);
        let owes = state.owes || (standing.manner.overage == Overage::Repay && DEBT_KNOWN < now.since(state.looked_at));
        let (paused_until, withheld) = (state.restraints.paused_until(now), state.restraints.withheld());
        Terms { rules, owes, paused_until, withheld }
    }

    /// The definition that this server wants.
    pub(super) fn registered(&self) -> Arc<Registered> {
        Arc::clone(&self.lock().registered)
    }

    /// The ledger is to be asked before the limit is used again.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        (state.standing, state.deleted) = (None, None);
    }

    /// Another server deleted it in this version.
    pub(super) fn note_deleted(&self, version: u64, now: Moment) {
        self.lock().deleted = Some((version, now));
    }

    /// That version, if it was learned just now: the many who name such a key do not all ask the ledger.
    pub(super) fn deleted(&self, now: Moment) -> Option<u64> {
        self.lock().deleted.filter(|(_, learned_at)| now.since(*learned_at) < DELETED_KNOWN).map(|(version, _)| version)
    }

    /// Whether it fills by time, as far as is known.
    pub(super) fn is_bucket(&self) -> bool {
        self.lock().standing.is_some_and(|standing| matches!(standing.kind, Kind::TokenBucket { .. }))
    }

    /// Whether its last entry is from this definition, as far as is known.
    pub(super) fn is_of(&self, origin: Origin) -> bool {
        self.lock().standing.is_some_and(|standing| standing.origin == origin)
    }

    /// Whether nobody has seen a later entry of its log than this one.
    pub(super) fn has_newest(&self, seq: u32) -> bool {
        self.lock().newest_seq <= seq
    }

    /// The same, unless somebody has asked since the log had this number of entries.
    pub(super) fn close_if(&self, seq: u32) {
        let mut state = self.lock();
        if state.standing.is_some_and(|standing| standing.seq == seq) {
            state.standing = None;
        }
    }

    /// How long a caller is asked to wait that was refused: nobody knows when other servers' leases end.
    pub(super) fn backoff(&self, kind: Kind) -> Duration {
        let backoff = match kind {
            Kind::Rolling { window } => retry_after::rolling_backoff(window),
            Kind::Concurrency { timeout } => retry_after::concurrency_backoff(timeout),
            Kind::TokenBucket { refill_period, .. } => retry_after::rolling_backoff(refill_period),
        };
        backoff.delay(self.streak.fetch_add(1, Ordering::Relaxed), fastrand::u64(..))
    }

    /// It admitted something.
    pub(super) fn admitted(&self) {
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
    }

    /// Nothing would be lost by forgetting it but its counters.
    pub(super) fn is_idle(&self, unused_since: Moment, now: Moment) -> bool {
        let mut state = self.lock();
        state.restraints.expire(now);
        state.used_at <= unused_since && state.restraints.is_empty()
    }
}

impl State {
    fn rules_under(&mut self, hash: u128, standing: Standing, chart: &Chart) -> Arc<Rules> {
        let accounts = match &self.rules {
            Some(known) if known.standing == standing => return Arc::clone(known),
            Some(known) if known.standing.generation == standing.generation => known.accounts,
            _ => chart.accounts_of(hash, standing.generation),
        };
        let ticks = Ticks::new(standing.kind, standing.wanted.get(), standing.since_ns);
        let rules = Arc::new(Rules { hash, accounts, standing, ticks });
        Arc::clone(self.rules.insert(rules))
    }
}

impl Deref for Terms {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.rules
    }
}

impl Terms {
    pub(super) fn enforces(&self) -> bool {
        self.standing.manner.mode == Mode::Enforce
    }

    pub(super) fn overage(&self) -> Overage {
        self.standing.manner.overage
    }

    pub(super) fn state(&self) -> LimitState {
        if self.standing.is_decreasing() {
            LimitState::Decreasing { to: self.standing.wanted }
        } else {
            LimitState::Active
        }
    }
}
