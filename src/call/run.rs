//! One attempt of a call: the hooks before it, the call with what runs beside it, the hooks after it.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures_util::FutureExt as _;
use smallvec::SmallVec;

use super::context::CallContext;
use super::error::{CallError, HookError};
use super::hook::{CallHook, CallHooks, HookState};
use super::record::Closing;
use crate::policy::CallReport;

/// Makes one call of `provider` with `input` between `hooks`. Unlike [`Tollgate::call`](crate::Tollgate::call) it is
/// made once, and guarded by no more than the hooks that are given.
///
/// # Errors
/// The error of the first hook that refuses the call or ends it, or the call's own.
pub async fn run_call<I, T, E, F: Future<Output = Result<T, E>>>(
    provider: impl FnOnce(CallContext, I) -> F,
    input: I,
    hooks: &CallHooks,
) -> Result<T, CallError<E>> {
    let (hooks, failures, clock) = hooks.parts();
    let call = CallContext::new(clock, 1);
    run_attempt(&call, &hooks, failures, |call| provider(call, input)).await.0
}

/// Counts in `failures` the hooks that fail after the call.
pub(super) async fn run_attempt<T, E, F: Future<Output = Result<T, E>>>(
    call: &CallContext,
    hooks: &[&dyn CallHook],
    failures: &AtomicU64,
    provider: impl FnOnce(CallContext) -> F,
) -> (Result<T, CallError<E>>, CallReport) {
    let mut passed = Passed(SmallVec::new());
    let result = match passed.ask(call, hooks).await {
        Ok(()) => {
            call.start();
            race(call, provider(call.clone()), &mut passed).await
        }
        Err(error) => Err(error.widen()),
    };
    let report = call.close(match &result {
        Ok(_) => Closing::Answered,
        Err(CallError::Failed(_)) => Closing::Failed,
        Err(CallError::TimedOut { .. }) => Closing::TimedOut,
        Err(_) => Closing::Cancelled,
    });
    passed.tell(call, &report, failures).await;
    (result, report)
}

/// Runs the call beside what its hooks do meanwhile; all of it is dropped by the end.
async fn race<T, E>(
    call: &CallContext,
    run: impl Future<Output = Result<T, E>>,
    passed: &mut Passed<'_>,
) -> Result<T, CallError<E>> {
    let mut run = pin!(run);
    let mut watches: SmallVec<[_; 2]> = passed.0.iter_mut().map(|(hook, state)| hook.watch_call(call, state)).collect();
    poll_fn(|context| {
        // The call first: an answer that comes with the deadline is an answer.
        if let Poll::Ready(result) = run.as_mut().poll(context) {
            return Poll::Ready(result.map_err(CallError::Failed));
        }
        let stop = watches.iter_mut().find_map(|watch| match watch.as_mut().poll(context) {
            Poll::Ready(error) => Some(error),
            Poll::Pending => None,
        });
        stop.map_or(Poll::Pending, |error| Poll::Ready(Err(error.widen())))
    })
    .await
}

/// The hooks that have let a call pass, with what they keep for it; dropped in reverse order.
struct Passed<'a>(SmallVec<[(&'a dyn CallHook, HookState); 2]>);

impl<'a> Passed<'a> {
    async fn ask(&mut self, call: &CallContext, hooks: &[&'a dyn CallHook]) -> Result<(), HookError> {
        for hook in hooks {
            let state = hook.before_call(call).await?;
            self.0.push((*hook, state));
        }
        Ok(())
    }

    async fn tell(mut self, call: &CallContext, report: &CallReport, failures: &AtomicU64) {
        while let Some((hook, state)) = self.0.pop() {
            // It may panic before it gives out its future, and its error in its own words.
            let after = AssertUnwindSafe(async {
                hook.after_call(call, state, report).await.map_err(|error| error.to_string())
            });
            let problem = match after.catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(problem)) => problem,
                Err(_) => "it panicked".to_owned(),
            };
            failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(problem, "a hook failed after a call; the call's result stands");
        }
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}
