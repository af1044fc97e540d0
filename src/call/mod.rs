//! The guarded call: a call to a provider that waits for its turn, keeps what it holds while it runs, and settles on
//! every way out.
//!
//! [`Tollgate::call`] does all of it: it asks the circuit breaker, waits for room on all limits, runs the call with a
//! deadline, renews what it holds meanwhile, takes in what it reports, completes the lease, tells the breaker, and
//! makes the call again where that was asked for.
//!
//! ```
//! use std::time::Duration;
//! use tollgate::call::{CallContext, CallSpec};
//! use tollgate::policy::DefinitionFields;
//! use tollgate::{CallError, Tollgate};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens_per_minute = DefinitionFields {
//!     key: "openai:gpt-4o:tpm".into(),
//!     kind: "rolling".into(),
//!     capacity: 1_000,
//!     window_seconds: Some(60),
//!     ..Default::default()
//! };
//! let tollgate = Tollgate::builder().limit_fields(tokens_per_minute).start().await?;
//!
//! // At most 600 tokens; more than ten seconds in line is too long.
//! let spec = CallSpec::of([("openai:gpt-4o:tpm", 600)])?.max_wait(Duration::from_secs(10));
//! let ask = |call: CallContext| async move {
//!     // Here the provider is called. Its answer tells how many tokens it was.
//!     call.report_usage([("openai:gpt-4o:tpm", 212)])?;
//!     Ok::<_, Box<dyn std::error::Error>>("hello")
//! };
//! assert_eq!(tollgate.call(&spec, ask).await?, "hello");
//! assert_eq!(tollgate.call(&spec, ask).await?, "hello");
//!
//! // 576 tokens are left of the minute: who wants more waits, or is refused.
//! let refused = tollgate.call(&spec.clone().max_wait(Duration::ZERO), ask).await;
//! assert!(matches!(refused, Err(CallError::Refused(refusal)) if refusal.denied.len() == 1));
//! # Ok(())
//! # }
//! ```
//!
//! # What an attempt is charged
//!
//! Nothing if it never ran. Else what it reported last ([`CallContext::report_usage`], [`CallContext::report_tokens`]),
//! and what it reserved of each key that it did not report. That holds on every way out: an answer, an error, a panic,
//! the deadline, and a future that is dropped wherever it stands.
//!
//! # What an attempt says about its upstream
//!
//! | the attempt | reported | outcome |
//! |---|---|---|
//! | returns `Ok` | nothing | status 200 |
//! | returns `Ok` | a response | its status |
//! | returns `Err` | nothing, or a response with a 2xx status | [`Fault::Other`] |
//! | returns `Err` | a response with another status | its status |
//! | returns either | a fault | that fault |
//! | runs into its deadline | anything | [`Fault::Timeout`] |
//! | is dropped, panics, never ran, or is ended by a hook | anything | [`Fault::Cancelled`] |
//!
//! The [`Classify`](crate::policy::Classify) of the call, or else of the runtime, makes a class of it: by default
//! faults, 408 and 5xx are failures, a 2xx is a success, and [`Fault::Cancelled`] and the rest say nothing.
//!
//! # When a call is made again
//!
//! With a [`RetryPolicy`], after a failure, and after an answer that asks to wait; by the outcome, whether the attempt
//! returned `Ok` or `Err`. Not after a success, other answers of class neutral, or one that says that the call can
//! never pass. Each attempt is a new lease. The next comes after the backoff and not before the provider wants it; when
//! that is later than `max_wait` allows, the call gives up at once. All retries through one breaker, and all without
//! any, share a [budget](crate::policy::RetryBudget) of 20 % of the calls that ran and 10 a second. Whatever prevents a
//! next attempt, be it the budget, the breaker that has opened, or the limits, the result is that of the last one.
//!
//! # Pieces
//!
//! [`run_call`] makes one attempt between any [`CallHook`]s. [`Tollgate::call`] is that with a [`RateLimitHook`], and
//! again where asked for. A host that wants more between the two puts its own hooks beside [`RateLimitHook`] and
//! [`CircuitBreakerHook`]. [`CallLayer`] gives the guarded call to a service of `tower`.
//!
//! [`Fault::Other`]: crate::policy::Fault::Other
//! [`Fault::Timeout`]: crate::policy::Fault::Timeout
//! [`Fault::Cancelled`]: crate::policy::Fault::Cancelled

mod books;
mod breaker;
mod context;
mod error;
mod hook;
mod layer;
mod rate_limit;
mod record;
mod retry;
mod run;
mod spec;
mod watch;

pub use books::CallTotals;
pub use breaker::CircuitBreakerHook;
pub use context::CallContext;
pub use error::{BoxError, CallError, HookError, ReportError};
pub use hook::{CallHook, CallHooks, HookState};
pub use layer::{CallLayer, DescribeCall, GuardedService};
pub use rate_limit::RateLimitHook;
pub use retry::RetryPolicy;
pub use run::run_call;
pub use spec::CallSpec;

pub(crate) use books::CallBooks;

use std::time::Duration;

use crate::policy::CallReport;
use crate::tollgate::Tollgate;

impl Tollgate {
    /// Makes a call when there is room for it, and settles with what it used. `run` is called once for each attempt,
    /// when all is granted; dropping the future ends the call wherever it stands and leaves nothing behind. See
    /// [`crate::call`] for what is charged, what counts as a failure, and when a call is made again.
    ///
    /// # Errors
    /// A [`CallError`]: the call's own error, or why it did not run or not to its end.
    pub async fn call<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        spec: &CallSpec,
        mut run: impl FnMut(CallContext) -> F,
    ) -> Result<T, CallError<E>> {
        let (runtime, fields) = (&*self.runtime, spec.fields());
        runtime.calls.begin();
        let began_at = self.now();
        let mut wait_left = fields.max_wait;
        let mut last = None;
        for attempt in 1.. {
            let call = CallContext::new(&runtime.clock, attempt);
            let hook = RateLimitHook::new(self.clone(), spec.clone()).waiting_at_most(wait_left);
            let (result, report) = run::run_attempt(&call, &[&hook], &runtime.calls.hook_failures, &mut run).await;
            if !call.has_run() {
                // The result of an attempt says more than why there was no other.
                return last.unwrap_or(result);
            }
            if attempt == 1 {
                runtime.calls.ran(fields.breaker.as_ref(), began_at, self.now());
            }
            wait_left = wait_left.saturating_sub(call.waited());
            let Some(delay) = self.delay_before_retry(fields, &call, &report, wait_left) else { return result };
            wait_left -= delay;
            last = Some(result);
            tokio::time::sleep_until(runtime.clock.instant_of(self.now().after(delay))).await;
        }
        unreachable!("an attempt is the last by `attempts_max` at the latest")
    }

    /// What the guarded calls of this runtime have come to.
    #[must_use]
    pub fn call_totals(&self) -> CallTotals {
        self.runtime.calls.totals()
    }

    /// How long to wait before the next attempt, which is paid for then; `None` if there is none.
    fn delay_before_retry(
        &self,
        fields: &spec::Fields,
        call: &CallContext,
        report: &CallReport,
        wait_left: Duration,
    ) -> Option<Duration> {
        let breaker = fields.breaker.as_ref().and_then(|name| self.find_breaker(name));
        if !call.may_be_retried() || breaker.is_some_and(|breaker| breaker.check().is_err()) {
            return None;
        }
        let delay = fields.retries.delay_after(call.attempt(), report, fastrand::u64(..))?;
        let is_in_time = delay <= wait_left;
        (is_in_time && self.runtime.calls.may_retry(fields.breaker.as_ref(), self.now())).then_some(delay)
    }
}
