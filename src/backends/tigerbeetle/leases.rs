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

/// How long a lease is kept that is over: a late retry is answered without a question.
const FINISHED_MEMORY_NS: u64 = 60_000_000_000;

type Shard = HashMap<LeaseId, LeaseRecord, RandomState>;

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

    pub(super) fn get(&self, id: LeaseId) -> Option<LeaseRecord> {
        self.shard(id).get(&id).cloned()
    }

    pub(super) fn has(&self, id: LeaseId) -> bool {
        self.shard(id).contains_key(&id)
    }

    /// Keeps a lease, if there is room.
    pub(super) fn put(&self, lease: LeaseRecord) {
        let mut shard = self.shard(lease.id);
        if self.max_per_shard <= shard.len() && !shard.contains_key(&lease.id) {
            return;
        }
        let is_live = !lease.is_finished;
        let before = shard.insert(lease.id, lease).is_some_and(|before| !before.is_finished);
        self.count(before, is_live);
    }

    /// Marks a lease as over; says whether it was live here.
    pub(super) fn finish(&self, id: LeaseId) -> bool {
        let mut shard = self.shard(id);
        let Some(lease) = shard.get_mut(&id) else { return false };
        let was_live = !std::mem::replace(&mut lease.is_finished, true);
        self.count(was_live, false);
        was_live
    }

    /// Marks that two callers have its grant.
    pub(super) fn share(&self, id: LeaseId) {
        if let Some(lease) = self.shard(id).get_mut(&id) {
            lease.is_shared = true;
        }
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
            if !lease.is_finished && !lease.is_live(now_ns) {
                lease.is_finished = true;
                ended.push(lease.clone());
            }
            !lease.is_finished || now_ns < lease.expires_at_ns().max(lease.granted_at_ns + FINISHED_MEMORY_NS)
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
