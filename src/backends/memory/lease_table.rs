//! All leases, found by id. Records that are over are reclaimed by a hand that walks round the table, so that there is
//! no queue of expiries to keep in step with completions.

use slab::Slab;
use smallvec::SmallVec;

use crate::policy::PlaceIndex;
use crate::policy::{Lease, LeaseId, Moment};

/// How far the hand looks for a record to reclaim when the table is full.
const HAND_STEPS_WHEN_FULL: usize = 256;

/// The most leases that a full table forgets at once. To forget one takes four reads of memory that is in no cache;
/// those of several overlap.
const FORGET_AT_ONCE_MAX: usize = 16;

/// A table forgets at most this part of its leases at once.
const FORGET_PART: usize = 1_024;

/// The place of a lease in its table.
pub(super) type LeaseIndex = usize;

#[derive(Debug)]
pub(super) struct LeaseTable {
    leases: Slab<Lease>,
    by_id: PlaceIndex,
    hand: usize,
    max: usize,
}

impl LeaseTable {
    pub(super) fn new(max: usize) -> Self {
        assert!(u32::try_from(max).is_ok(), "leases are numbered with 32 bits");
        Self { leases: Slab::new(), by_id: PlaceIndex::default(), hand: 0, max }
    }

    pub(super) fn find(&self, id: LeaseId) -> Option<LeaseIndex> {
        self.by_id.find(id, |index| self.leases[index].id() == id)
    }

    pub(super) fn get(&self, index: LeaseIndex) -> &Lease {
        &self.leases[index]
    }

    pub(super) fn get_mut(&mut self, index: LeaseIndex) -> &mut Lease {
        &mut self.leases[index]
    }

    /// Makes sure that one more fits, if need be by forgetting finished leases before their time.
    pub(super) fn make_room(&mut self) -> bool {
        if self.leases.len() < self.max {
            return true;
        }
        let wanted = (self.max / FORGET_PART).clamp(1, FORGET_AT_ONCE_MAX);
        let mut finished = SmallVec::<[LeaseIndex; FORGET_AT_ONCE_MAX]>::new();
        for _ in 0..HAND_STEPS_WHEN_FULL {
            let index = self.step();
            if self.leases.get(index).is_some_and(Lease::is_finished) {
                finished.push(index);
            }
            if finished.len() == wanted {
                break;
            }
        }
        finished.iter().for_each(|index| self.forget(*index));
        !finished.is_empty()
    }

    /// The id must not be in the table.
    pub(super) fn insert(&mut self, lease: Lease) {
        let id = lease.id();
        let index = self.leases.insert(lease);
        assert!(index < self.max, "room is made before a lease is granted");
        self.by_id.insert(id, index);
    }

    /// Moves the hand one step; what it points at now may be an empty place.
    pub(super) fn step(&mut self) -> LeaseIndex {
        self.hand = if self.hand + 1 < self.places() { self.hand + 1 } else { 0 };
        self.hand
    }

    /// Whether there is a lease at `index` that ended by itself and is still to be settled.
    pub(super) fn has_expired(&self, index: LeaseIndex, now: Moment) -> bool {
        self.leases.get(index).is_some_and(|lease| lease.has_expired(now))
    }

    /// Forgets the lease at `index` if it has been over for long enough.
    pub(super) fn forget_if_over(&mut self, index: LeaseIndex, now: Moment) {
        if self.leases.get(index).is_some_and(|lease| lease.is_forgettable(now)) {
            self.forget(index);
        }
    }

    /// How many places one round of the hand has.
    pub(super) fn places(&self) -> usize {
        self.leases.capacity().min(self.max)
    }

    fn forget(&mut self, index: LeaseIndex) {
        let lease = self.leases.remove(index);
        self.by_id.remove(lease.id(), index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Hold, HoldId, Labels, LimitIndex};

    fn finished(id: u128) -> Lease {
        let hold = Hold { limit: LimitIndex(0), amount: 1, id: HoldId::ending(Moment::from_nanos(1), true) };
        let mut lease = Lease::new(LeaseId::from(id), 0, Box::new([hold]), &Labels::default());
        lease.finish(Moment::START);
        lease
    }

    #[test]
    fn a_full_table_of_finished_leases_always_makes_room() {
        // The slab allocates room for 2048, so that a hand that went there would find hundreds of empty places.
        let max = 1_100;
        let mut table = LeaseTable::new(max);
        for id in 0..5 * max {
            assert!(table.make_room(), "lease {id}");
            table.insert(finished(id as u128));
        }
        assert_eq!((table.leases.len(), table.by_id.len()), (max, max));
        assert!((1..=max).all(|back| table.find(LeaseId::from((5 * max - back) as u128)).is_some()), "the newest stay");
    }
}
