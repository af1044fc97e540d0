//! The leases that this server granted or was asked about, so that completing one needs no question first. The ledger
//! has them all: what does not fit here is asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use foldhash::fast::RandomState;

use super::lease::LeaseRecord;
use crate::policy::LeaseId;

const SHARDS: usize = 64;

/// How many leases one look goes through before it leaves the rest to the next one.
const VISITS_MAX: usize = 16_384;

/// How long a finished lease is kept: a late retry is answered without a question.
const FINISHED_MEMORY_NS: u64 = 60_000_000_000;

/// Boxed, so that a table that grows moves little.
type Shard = HashMap<LeaseId, Box<LeaseRecord>, RandomState>;

/// A part of the ledger's leases.
#[derive(Debug)]
pub(super) struct Leases {
    shards: Vec<Mutex<Shard>>,
    max_per_shard: usize,
    /// Those among them that hold something.
    live: AtomicUsize,
    look: Mutex<Look>,
}

/// How far housekeeping has come.
#[derive(Debug, Default)]
struct Look {
    shard: usize,
    /// Since it last paused.
    visits: usize,
}

/// Who has a lease after somebody left it.
#[derive(Debug)]
pub(super) enum Left {
    /// Others, or nobody any more.
    ToOthers,
    /// Nobody; as it was before it was marked as over.
    Last(Box<LeaseRecord>),
    /// It is not known here.
    Unknown,
}

/// What one step of housekeeping found.
#[derive(Debug)]
pub(super) struct Swept {
    /// Leases that ended by themselves.
    pub(super) ended: Vec<LeaseRecord>,
    /// Whether it was the last step of this look.
    pub(super) is_last: bool,
}

impl Leases {
    pub(super) fn new(max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_per_shard: max.div_ceil(SHARDS),
            live: AtomicUsize::new(0),
            look: Mutex::default(),
        }
    }

    pub(super) fn get(&self, id: LeaseId) -> Option<LeaseRecord> {
        self.shard(id).get(&id).map(|lease| LeaseRecord::clone(lease))
    }

    pub(super) fn has(&self, id: LeaseId) -> bool {
        self.shard(id).contains_key(&id)
    }

    /// Keeps a lease, if there is room.
    pub(super) fn put(&self, lease: LeaseRecord) {
        let mut shard = self.shard(lease.id);
        if self.max_per_shard <= shard.len() && !shard.contains_key(&lease.id) {
            // Finished ones go first. Where there are none, the ledger has to be asked.
            let finished = shard.iter().find(|(_, lease)| lease.is_finished).map(|(id, _)| *id);
            let Some(finished) = finished else { return };
            shard.remove(&finished);
        }
        let is_live = !lease.is_finished;
        let before = shard.insert(lease.id, Box::new(lease)).is_some_and(|before| !before.is_finished);
        self.count(before, is_live);
    }

    /// Keeps a lease that was granted just now. If it is here by then, one more has it.
    pub(super) fn put_granted(&self, lease: LeaseRecord) {
        if let Some(known) = self.shard(lease.id).get_mut(&lease.id) {
            known.takers += 1;
            return;
        }
        self.put(LeaseRecord { takers: 1, ..lease });
    }

    /// Marks a lease as over; says whether it was live here.
    pub(super) fn finish(&self, id: LeaseId) -> bool {
        let mut shard = self.shard(id);
        let Some(lease) = shard.get_mut(&id) else { return false };
        let was_live = !std::mem::replace(&mut lease.is_finished, true);
        self.count(was_live, false);
        was_live
    }

    /// One more caller is to be told that it has the grant; false if the lease is over.
    pub(super) fn take(&self, id: LeaseId) -> bool {
        self.shard(id).get_mut(&id).is_none_or(|lease| {
            lease.takers += 1;
            !lease.is_finished
        })
    }

    /// One caller was not told after all, or is gone. The last one ends the lease, and nobody takes it from then on;
    /// one that is not known here may be ended too.
    pub(super) fn leave(&self, id: LeaseId) -> Left {
        let mut shard = self.shard(id);
        let Some(lease) = shard.get_mut(&id) else { return Left::Unknown };
        lease.takers = lease.takers.saturating_sub(1);
        if lease.takers != 0 || lease.is_finished {
            return Left::ToOthers;
        }
        let left = lease.clone();
        lease.is_finished = true;
        self.count(true, false);
        Left::Last(left)
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Looks through a part of them.
    pub(super) fn sweep(&self, now_ns: u64) -> Swept {
        let mut look = self.look.lock().expect("nothing under this lock panics but a broken invariant");
        let mut ended = Vec::new();
        let mut shard = Self::lock(&self.shards[look.shard]);
        look.visits += shard.len();
        shard.retain(|_, lease| {
            let is_live = lease.is_live(now_ns);
            if !is_live && !lease.is_finished {
                ended.push(LeaseRecord::clone(lease)); // Not marked as over: another server may have renewed it.
            }
            is_live || (lease.is_finished && now_ns < lease.granted_at_ns + FINISHED_MEMORY_NS)
        });
        drop(shard);
        self.live.fetch_sub(ended.len(), Ordering::Relaxed);
        look.shard = (look.shard + 1) % SHARDS;
        let is_last = look.shard == 0 || VISITS_MAX <= look.visits;
        if is_last {
            look.visits = 0;
        }
        Swept { ended, is_last }
    }

    fn count(&self, before: bool, after: bool) {
        match (before, after) {
            (false, true) => drop(self.live.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.live.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    fn shard(&self, id: LeaseId) -> MutexGuard<'_, Shard> {
        Self::lock(&self.shards[id.as_u128() as usize % SHARDS])
    }

    fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
        shard.lock().expect("nothing under this lock panics but a broken invariant")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::tigerbeetle::chart::Code;
    use crate::backends::tigerbeetle::lease::Held;
    use crate::policy::Labels;

    fn lease(id: u128, expires_at_ns: u64) -> LeaseRecord {
        let held = Held {
            transfer: 1,
            tag: 1,
            account: 1,
            code: Code::ConcurrencyHold,
            amount: 1,
            timeout_seconds: 1,
            expires_at_ns,
        };
        LeaseRecord {
            id: LeaseId::from(id),
            granted_at_ns: 0,
            labels: Labels::default(),
            holds: [held].into_iter().collect(),
            is_finished: false,
            takers: 1,
        }
    }

    #[test]
    fn only_the_last_who_leaves_a_lease_ends_it_and_nobody_takes_it_then() {
        let leases = Leases::new(100);
        let id = LeaseId::from(7);
        leases.put(lease(7, 10));
        assert!(leases.take(id));
        assert!(matches!(leases.leave(id), Left::ToOthers));
        let Left::Last(left) = leases.leave(id) else { panic!("nobody has it any more") };
        assert!(!left.is_finished);
        assert!(!leases.take(id), "it is being ended");
        assert!(matches!(leases.leave(id), Left::ToOthers), "it ends once");
        assert!(matches!(leases.leave(LeaseId::from(8)), Left::Unknown));
        assert_eq!(leases.live(), 0);
    }

    #[test]
    fn what_has_ended_is_forgotten_and_what_is_live_is_counted_once() {
        let leases = Leases::new(100);
        for _ in 0..2 {
            (0..10).for_each(|id| leases.put(lease(id, 10 + id as u64)));
        }
        assert_eq!(leases.live(), 10);
        assert!(leases.finish(LeaseId::from(9)) && !leases.finish(LeaseId::from(9)));
        let sweep = |now_ns| (0..SHARDS).map(|_| leases.sweep(now_ns).ended.len()).sum::<usize>();
        assert_eq!((sweep(14), leases.live()), (5, 4));
        assert_eq!((sweep(FINISHED_MEMORY_NS - 1), leases.live()), (4, 0));
        assert!(leases.has(LeaseId::from(9)), "a late retry is told that it is over");
        sweep(FINISHED_MEMORY_NS);
        assert!(!leases.has(LeaseId::from(9)));
    }

    #[test]
    fn a_full_table_keeps_what_it_has() {
        let leases = Leases::new(SHARDS);
        (0..2).for_each(|round| leases.put(lease(round * SHARDS as u128, 10)));
        assert!(leases.has(LeaseId::from(0)) && !leases.has(LeaseId::from(SHARDS as u128)));
        leases.put(lease(0, 20));
        assert_eq!(leases.live(), 1);
    }
}
