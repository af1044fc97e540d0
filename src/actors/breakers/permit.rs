//! The permit of a call that its circuit breaker let through.

use std::fmt;
use std::sync::Arc;

use super::gate::Gate;
use crate::policy::{Admission, BreakerName, BreakerOpen, Class, Moment, Outcome};

/// A call that was let through. Its outcome counts once; dropping it tells nothing, as for a call that was cancelled,
/// and frees the slot of a probe.
#[must_use = "dropping a permit tells the breaker nothing about the call"]
pub struct Permit {
    gate: Arc<Gate>,
    /// Gone once the outcome is told.
    admission: Option<Admission>,
    /// There only if the breaker counts slow calls.
    entered_at: Option<Moment>,
}

impl Permit {
    #[inline]
    pub(crate) fn enter(gate: &Arc<Gate>) -> Result<Self, BreakerOpen> {
        let (admission, entered_at) = gate.enter()?;
        Ok(Self { gate: Arc::clone(gate), admission: Some(admission), entered_at })
    }

    /// The name of the breaker that let it through.
    #[must_use]
    pub fn breaker(&self) -> &BreakerName {
        self.gate.name()
    }

    /// Whether it was handed out in a later state of the same breaker, or by another breaker.
    pub(crate) fn is_younger_than(&self, other: &Self) -> bool {
        let generation = |permit: &Self| permit.admission.as_ref().map(Admission::generation);
        self.breaker() != other.breaker() || generation(other) < generation(self)
    }

    /// The call went well.
    #[inline]
    pub fn success(mut self) {
        if let Some(admission) = self.admission.take() {
            self.gate.succeed(admission, self.entered_at);
        }
    }

    /// The call failed.
    pub fn failure(self) {
        self.record(Class::Failure, &Outcome::default());
    }

    /// The call ended like this; `class` says what that means. A latency that is not given is the time since the call
    /// was let through. The wait that an upstream asked for keeps the breaker open at least so long, if it opens.
    pub fn record(mut self, class: Class, outcome: &Outcome) {
        if let Some(admission) = self.admission.take() {
            self.gate.record(admission, self.entered_at, class, outcome);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.gate.cancel(admission);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_probe = self.admission.as_ref().is_some_and(Admission::is_probe);
        f.debug_struct("Permit").field("breaker", self.gate.name()).field("is_probe", &is_probe).finish_non_exhaustive()
    }
}
