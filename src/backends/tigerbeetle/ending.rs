//! The leases whose ends wait for the cluster: one task for each, and so many at the most.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::policy::LeaseId;

/// The leases that are being ended.
#[derive(Debug)]
pub(super) struct Ending {
    leases: Mutex<HashSet<LeaseId>>,
    count_max: usize,
}

/// The right to wait for the cluster with the end of one lease.
#[derive(Debug)]
pub(super) struct Place {
    ending: Arc<Ending>,
    lease_id: LeaseId,
}

impl Ending {
    pub(super) fn new(count_max: usize) -> Arc<Self> {
        Arc::new(Self { leases: Mutex::default(), count_max })
    }

    /// A place, unless another task has that of this lease, or there is none left.
    pub(super) fn enter(self: &Arc<Self>, lease_id: LeaseId) -> Option<Place> {
        let mut leases = self.lock();
        let is_new = leases.len() < self.count_max && leases.insert(lease_id);
        drop(leases);
        is_new.then(|| Place { ending: Arc::clone(self), lease_id })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<LeaseId>> {
        self.leases.lock().expect("nothing under this lock panics but a broken invariant")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ending.lock().remove(&self.lease_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_for_each_lease_and_so_many_at_the_most() {
        let ending = Ending::new(2);
        let place = ending.enter(LeaseId::from(1)).expect("room");
        assert!(ending.enter(LeaseId::from(1)).is_none(), "one is enough");
        let _other = ending.enter(LeaseId::from(2)).expect("room");
        assert!(ending.enter(LeaseId::from(3)).is_none());
        drop(place);
        assert!(ending.enter(LeaseId::from(1)).is_some());
    }
}
