//! The hook that asks a circuit breaker, and tells it how the call went.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::context::CallContext;
use super::error::{BoxError, HookError};
use super::hook::{CallHook, HookState};
use crate::policy::{BreakerOpen, CallReport, Classify, Refusal, StandardClassify};
use crate::tollgate::{Breaker, Permit};

/// Lets a call pass unless its circuit breaker is open, and tells the breaker how it went. For calls without limits; a
/// [`RateLimitHook`](super::RateLimitHook) asks the breaker of its own description itself.
#[derive(Clone, Debug)]
pub struct CircuitBreakerHook {
    breaker: Breaker,
    classify: Arc<dyn Classify>,
}

impl CircuitBreakerHook {
    /// Guards calls with `breaker`.
    #[must_use]
    pub fn new(breaker: Breaker) -> Self {
        Self { breaker, classify: Arc::new(StandardClassify) }
    }

    /// The same with other classes of outcomes than [`StandardClassify`].
    #[must_use]
    pub fn classify(mut self, classify: Arc<dyn Classify>) -> Self {
        self.classify = classify;
        self
    }
}

impl CallHook for CircuitBreakerHook {
    fn before_call<'a>(&'a self, _: &'a CallContext) -> BoxFuture<'a, Result<HookState, HookError>> {
        // A permit that is dropped was cancelled.
        let entered = self.breaker.try_enter().map(HookState::of);
        let refusal = |open: BreakerOpen| Box::new(Refusal::breaker_open(open.name, open.retry_after)).into();
        Box::pin(ready(entered.map_err(refusal)))
    }

    fn after_call<'a>(
        &'a self,
        _: &'a CallContext,
        state: HookState,
        report: &'a CallReport,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        if let Some(permit) = state.take::<Permit>() {
            permit.record(self.classify.classify(&report.outcome), &report.outcome);
        }
        Box::pin(ready(Ok(())))
    }
}
