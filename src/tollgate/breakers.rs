//! Circuit breakers in the hands of a host.

use std::fmt;
use std::sync::Arc;

use ractor::{ActorRef, RpcReplyPort};
use tokio::sync::broadcast;

use super::Tollgate;
use crate::actors::{BreakersFull, CallError, CircuitBreakerMessage, Gate, Permit};
use crate::policy::{BreakerName, BreakerOpen, BreakerView, CallReport, PermitId, Transition};

impl Tollgate {
    /// The circuit breaker of this name. One that is not there is made, with the
    /// [default settings](crate::config::Settings::breaker_defaults).
    ///
    /// # Errors
    /// [`BreakersFull`]: there are as many as there may be, and none of them can go.
    pub fn breaker(&self, name: &BreakerName) -> Result<Breaker, BreakersFull> {
        self.runtime.breakers.find_or_make(name).map(|gate| Breaker { gate })
    }

    /// The circuit breaker of this name, if it is there.
    #[must_use]
    pub fn find_breaker(&self, name: &BreakerName) -> Option<Breaker> {
        self.runtime.breakers.find(name).map(|gate| Breaker { gate })
    }

    /// All circuit breakers as they stand, in the order of their names.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerView> {
        self.runtime.breakers.all().iter().map(|gate| gate.view()).collect()
    }

    /// Counts how a call ended whose permit `breaker` handed out by number. A latency that is not given is the time
    /// since then. Says whether the number was waited for: one that is unknown, used or over counts nowhere.
    pub fn record_issued(&self, breaker: &Breaker, permit: PermitId, report: &CallReport) -> bool {
        self.runtime.count_ignored(report);
        breaker.gate.record_issued(permit, self.runtime.class_of(report), &report.outcome)
    }

    /// The changes of all circuit breakers from now on, each breaker's in their order. A receiver that falls behind by
    /// 1 024 misses the oldest, and is told how many.
    #[must_use]
    pub fn breaker_transitions(&self) -> broadcast::Receiver<Transition> {
        self.runtime.breakers.transitions.subscribe()
    }

    /// The actor of one circuit breaker; `None` if there is no such breaker, or while its actor is being restarted.
    #[must_use]
    pub fn circuit_breaker_actor(&self, name: &BreakerName) -> Option<ActorRef<CircuitBreakerMessage>> {
        self.runtime.breakers.actor(name)
    }
}

/// One circuit breaker. Cheap to clone. Asking it costs no message; what a person decides is carried out by its actor.
#[derive(Clone)]
pub struct Breaker {
    gate: Arc<Gate>,
}

impl Breaker {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &BreakerName {
        self.gate.name()
    }

    /// Lets one call through, or refuses it. The permit owes the call's outcome.
    ///
    /// # Errors
    /// [`BreakerOpen`]: which breaker refuses, and when another try makes sense.
    #[inline]
    pub fn try_enter(&self) -> Result<Permit, BreakerOpen> {
        Permit::enter(&self.gate)
    }

    /// Answers as [`Self::try_enter`] would, and takes nothing.
    ///
    /// # Errors
    /// [`BreakerOpen`].
    pub fn check(&self) -> Result<(), BreakerOpen> {
        self.gate.check()
    }

    /// As [`Self::try_enter`], for a caller who cannot hold a permit, such as a client elsewhere: the number is good
    /// for one [`Tollgate::record_issued`] within an hour, and as long as no 10 000 younger ones are out.
    ///
    /// # Errors
    /// [`BreakerOpen`].
    pub fn issue_permit(&self) -> Result<PermitId, BreakerOpen> {
        self.gate.issue()
    }

    /// As it stands.
    #[must_use]
    pub fn view(&self) -> BreakerView {
        self.gate.view()
    }

    /// Refuses every call until [`Self::reset`].
    ///
    /// # Errors
    /// A [`CallError`], which says whether it may have been done. Doing it again does no harm.
    pub async fn force_open(&self) -> Result<(), CallError> {
        self.tell(CircuitBreakerMessage::ForceOpen).await
    }

    /// Lets every call through until [`Self::reset`], whatever comes of it.
    ///
    /// # Errors
    /// As [`Self::force_open`].
    pub async fn force_closed(&self) -> Result<(), CallError> {
        self.tell(CircuitBreakerMessage::ForceClosed).await
    }

    /// Lets every call through and counts nothing until [`Self::reset`].
    ///
    /// # Errors
    /// As [`Self::force_open`].
    pub async fn disable(&self) -> Result<(), CallError> {
        self.tell(CircuitBreakerMessage::Disable).await
    }

    /// Undoes the others, and begins afresh: closed, with nothing counted.
    ///
    /// # Errors
    /// As [`Self::force_open`].
    pub async fn reset(&self) -> Result<(), CallError> {
        self.tell(CircuitBreakerMessage::Reset).await
    }

    /// All four may be told again when the actor died over them.
    async fn tell(&self, message: fn(RpcReplyPort<()>) -> CircuitBreakerMessage) -> Result<(), CallError> {
        self.gate.mailbox().ask(message).await
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breaker").field(self.name()).finish()
    }
}
