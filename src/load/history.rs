//! What was granted, and when: as much as the check needs, for a bounded number of grants.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::workload::Call;
use crate::policy::Moment;

/// One granted reservation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    pub(super) call: Call,
    pub(super) sent: Moment,
    pub(super) answered: Moment,
    /// Once it was sent.
    pub(super) completion: Option<Completed>,
}

/// The completion of a grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completed {
    pub(super) sent: Moment,
    /// How many tokens it said were used.
    pub(super) used: u32,
}

/// How many grants may still be kept, by all callers together. One beyond the bound is made all the same, and is not
/// checked; how many there are is told.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

impl Room {
    pub(super) const fn new(records_max: usize) -> Self {
        Self(AtomicUsize::new(records_max))
    }

    /// Takes room for one, if there is any.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_as_were_said() {
        let room = Room::new(2);
        assert_eq!([room.take(), room.take(), room.take(), room.take()], [true, true, false, false]);
    }
}
