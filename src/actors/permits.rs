//! The permits of calls whose callers come back with an id. Pure but for the permits themselves.

use std::collections::HashMap;
use std::time::Duration;

use super::breakers::Permit;
use crate::policy::{ExpiringTable, LeaseId, Moment};

/// How long the permit of a call is kept whose caller is to come back with its id. The call of one that does not was
/// cancelled, for its breaker.
const PERMIT_LIFETIME: Duration = Duration::from_secs(3_600);

/// Permits by the id of their lease.
pub(super) struct Permits {
    held: ExpiringTable<LeaseId, Permit>,
    /// Reservations with a permit that are being decided elsewhere. The same id may be sent several times, and may be
    /// over before the last of them is answered.
    pending: HashMap<LeaseId, Pending>,
}

struct Pending {
    reservations: u32,
    is_over: bool,
}

impl Permits {
    pub(super) fn new(count_max: usize) -> Self {
        Self { held: ExpiringTable::new(PERMIT_LIFETIME, count_max), pending: HashMap::new() }
    }

    /// Keeps a permit. Of two for one id the younger counts; of two that are alike the first, so that the other frees
    /// its probe.
    pub(super) fn hold(&mut self, id: LeaseId, permit: Permit, now: Moment) {
        let kept = match self.held.remove(&id, now) {
            Some(known) if !permit.is_younger_than(&known) => known,
            _ => permit,
        };
        self.held.insert(id, kept, now);
    }

    /// The permit that was kept under `id`, whose call is over.
    pub(super) fn take(&mut self, id: LeaseId, now: Moment) -> Option<Permit> {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.is_over = true;
        }
        self.held.remove(&id, now)
    }

    /// A reservation with a permit waits for its answer.
    pub(super) fn begin(&mut self, id: LeaseId) {
        self.pending.entry(id).or_insert(Pending { reservations: 0, is_over: false }).reservations += 1;
    }

    /// Whether the call of one that waits is over already: then its permit is of no use.
    pub(super) fn is_over(&self, id: LeaseId) -> bool {
        self.pending.get(&id).is_some_and(|pending| pending.is_over)
    }

    /// It waits no longer.
    pub(super) fn end(&mut self, id: LeaseId) {
        let pending = self.pending.get_mut(&id).expect("what ends has begun");
        pending.reservations -= 1;
        if pending.reservations == 0 {
            self.pending.remove(&id);
        }
    }
}
