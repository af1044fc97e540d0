//! The leases that this server granted or was asked about, so that completing one needs no question first. The ledger
//! has them all: what does not fit here is asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::lease::LeaseRecord;
use crate::policy::{Labels, LeaseId};

const SHARDS: usize = 64;

/// How many leases one look goes through before it leaves the rest to the next one.
const VISITS_MAX: usize = 16_384;

/// How long a finished lease is kept: a late retry is answered without a question.
const FINISHED_MEMORY_NS: u64 = 60_000_000_000;

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<LeaseId, Entry, RandomState>,
    /// Those that are over, in the order in which they ended: what makes room is found without a search.
    over: VecDeque<LeaseId>,
}

/// Small, so that a table that grows moves little; with what a look through all of them needs.
#[derive(Debug)]
enum Entry {
    Open { expires_at_ns: u64, known: Box<Known> },
    Over { granted_at_ns: u64, labels: Labels },
}

/// A lease, and who has it here.
#[derive(Debug)]
struct Known {
    lease: LeaseRecord,
    /// How many callers were told that they have it.
    takers: u32,
    /// The last of them left it: it is being given back, and nobody takes it any more.
    is_leaving: bool,
}

impl Entry {
    fn new(lease: LeaseRecord, takers: u32) -> Self {
        if lease.is_finished {
            return Self::Over { granted_at_ns: lease.granted_at_ns, labels: lease.labels };
        }
        let expires_at_ns = lease.expires_at_ns();
        Self::Open { expires_at_ns, known: Box::new(Known { lease, takers, is_leaving: false }) }
    }

    /// One more caller has it; false if it is over, or will be.
    fn take(&mut self) -> bool {
        match self {
            Self::Open { known, .. } if !known.is_leaving => {
                known.takers += 1;
                true
            }
            _ => false,
        }
    }

    /// Of one that is over, nothing is left but its names and when it was granted.
    fn lease(&self, id: LeaseId) -> LeaseRecord {
        match self {
            Self::Open { known, .. } => known.lease.clone(),
            Self::Over { granted_at_ns, labels } => LeaseRecord {
                id,
                maker: None,
                granted_at_ns: *granted_at_ns,
                labels: labels.clone(),
                holds: SmallVec::new(),
                is_finished: true,
            },
        }
    }
}

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

    /// What is known of a lease. Of one that is over, that is not what it held.
    pub(super) fn get(&self, id: LeaseId) -> Option<LeaseRecord> {
        self.shard(id).entries.get(&id).map(|entry| entry.lease(id))
    }

    pub(super) fn has(&self, id: LeaseId) -> bool {
        self.shard(id).entries.contains_key(&id)
    }

    /// Keeps what a lease holds now, if there is room. Who has it stays as it was.
    pub(super) fn put(&self, lease: LeaseRecord) {
        let mut shard = self.shard(lease.id);
        match shard.entries.get_mut(&lease.id) {
            Some(Entry::Open { expires_at_ns, known }) => {
                (*expires_at_ns, known.lease.holds) = (lease.expires_at_ns(), lease.holds);
            }
            Some(Entry::Over { .. }) => {}
            None => self.insert(&mut shard, lease, 0),
        }
    }

    /// Keeps a lease, if there is room, of which one more caller is to be told that it has it; false if it is over.
    pub(super) fn put_taken(&self, lease: LeaseRecord) -> bool {
        let mut shard = self.shard(lease.id);
        if let Some(entry) = shard.entries.get_mut(&lease.id) {
            return entry.take();
        }
        self.insert(&mut shard, lease, 1);
        true
    }

    fn insert(&self, shard: &mut Shard, lease: LeaseRecord, takers: u32) {
        if self.max_per_shard <= shard.entries.len() {
            // Finished ones go first. Where there are none, the ledger has to be asked.
            let Some(finished) = shard.over.pop_front() else { return };
            shard.entries.remove(&finished);
        }
        let (id, entry) = (lease.id, Entry::new(lease, takers));
        match entry {
            Entry::Open { .. } => _ = self.live.fetch_add(1, Ordering::Relaxed),
            Entry::Over { .. } => shard.over.push_back(id),
        }
        shard.entries.insert(id, entry);
    }

    /// Marks a lease as over; says whether it was live here.
    pub(super) fn finish(&self, id: LeaseId) -> bool {
        let mut shard = self.shard(id);
        let Some(entry) = shard.entries.get_mut(&id) else { return false };
        let Entry::Open { known, .. } = entry else { return false };
        let (granted_at_ns, labels) = (known.lease.granted_at_ns, std::mem::take(&mut known.lease.labels));
        *entry = Entry::Over { granted_at_ns, labels };
        shard.over.push_back(id);
        self.live.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// A lease that was to be given back goes on.
    pub(super) fn keep(&self, id: LeaseId) {
        if let Some(Entry::Open { known, .. }) = self.shard(id).entries.get_mut(&id) {
            known.is_leaving = false;
        }
    }

    /// One more caller is to be told that it has the grant; false if the lease is over. `None` if it is not known here.
    pub(super) fn take(&self, id: LeaseId) -> Option<bool> {
        self.shard(id).entries.get_mut(&id).map(Entry::take)
    }

    /// One caller was not told after all, or is gone. True if that was the last one, who is to end the lease: nobody
    /// takes it from then on. One that is not known here may be ended too.
    pub(super) fn leave(&self, id: LeaseId) -> bool {
        let mut shard = self.shard(id);
        let Some(entry) = shard.entries.get_mut(&id) else { return true };
        let Entry::Open { known, .. } = entry else { return false };
        known.takers = known.takers.saturating_sub(1);
        if known.takers != 0 || known.is_leaving {
            return false;
        }
        known.is_leaving = true;
        true
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Looks through a part of them.
    pub(super) fn sweep(&self, now_ns: u64) -> Swept {
        let mut look = self.look.lock().expect("nothing under this lock panics but a broken invariant");
        let mut ended = Vec::new();
        let mut shard = Self::lock(&self.shards[look.shard]);
        let Shard { entries, over } = &mut *shard;
        look.visits += entries.len();
        entries.retain(|_, entry| match entry {
            Entry::Open { expires_at_ns, .. } if now_ns < *expires_at_ns => true,
            Entry::Open { known, .. } => {
                ended.push(known.lease.clone()); // Not kept as over: another server may have renewed it.
                false
            }
            Entry::Over { granted_at_ns, .. } => now_ns < *granted_at_ns + FINISHED_MEMORY_NS,
        });
        over.retain(|id| entries.contains_key(id));
        drop(shard);
        self.live.fetch_sub(ended.len(), Ordering::Relaxed);
        look.shard = (look.shard + 1) % SHARDS;
        let is_last = look.shard == 0 || VISITS_MAX <= look.visits;
        if is_last {
            look.visits = 0;
        }
        Swept { ended, is_last }
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
            maker: None,
            granted_at_ns: 0,
            labels: Labels::default(),
            holds: [held].into_iter().collect(),
            is_finished: false,
        }
    }

    #[test]
    fn only_the_last_who_leaves_a_lease_ends_it_and_nobody_takes_it_then() {
        let leases = Leases::new(100);
        let id = LeaseId::from(7);
        assert!(leases.put_taken(lease(7, 10)) && leases.put_taken(lease(7, 10)));
        assert_eq!(leases.take(id), Some(true));
        for _ in 0..2 {
            assert!(!leases.leave(id));
        }
        assert!(leases.leave(id));
        assert_eq!(leases.take(id), Some(false), "it is being ended");
        assert!(!leases.leave(id), "it ends once");
        let is_live = leases.get(id).is_some_and(|lease| !lease.is_finished);
        assert!(is_live && leases.live() == 1, "until it has ended in the ledger, anybody may end it");
        assert_eq!((leases.take(LeaseId::from(8)), leases.leave(LeaseId::from(8))), (None, true));
        leases.keep(id);
        assert_eq!(leases.take(id), Some(true), "it goes on after all");
        assert!(leases.leave(id), "whoever was refused does not have it");
    }

    #[test]
    fn a_renewal_says_what_a_lease_holds_and_not_who_has_it() {
        let leases = Leases::new(100);
        let id = LeaseId::from(7);
        assert!(leases.put_taken(lease(7, 10)));
        leases.put(lease(7, 20));
        assert_eq!(leases.get(id).map(|lease| lease.expires_at_ns()), Some(20));
        assert!(leases.finish(id));
        leases.put(lease(7, 30));
        assert_eq!((leases.take(id), leases.live()), (Some(false), 0), "it is over all the same");
        leases.keep(id);
        assert!(!leases.leave(id));
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

    #[test]
    fn in_a_full_table_what_ended_first_makes_room() {
        let leases = Leases::new(3 * SHARDS);
        let ids: Vec<_> = (0..6).map(|round| round * SHARDS as u128).collect();
        ids[..3].iter().for_each(|id| leases.put(lease(*id, 10)));
        assert!(leases.finish(LeaseId::from(ids[1])) && leases.finish(LeaseId::from(ids[0])));
        let known = || ids.iter().map(|id| leases.has(LeaseId::from(*id))).collect::<Vec<_>>();
        leases.put(lease(ids[3], 10));
        assert_eq!(known(), [true, false, true, true, false, false]);
        leases.put(LeaseRecord { is_finished: true, ..lease(ids[4], 10) });
        assert_eq!(known(), [false, false, true, true, true, false]);
        leases.put(lease(ids[5], 10));
        assert_eq!(known(), [false, false, true, true, false, true]);
        assert_eq!(leases.live(), 3);
    }
}
