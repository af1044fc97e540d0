//! Every way out of a call, and what it charges and says.

use std::time::Duration;

use futures_util::FutureExt as _;
use tollgate::CallError;
use tollgate::call::{CallContext, CallSpec};
use tollgate::policy::{BreakerState, Fault, Reason};

use super::host::{Answer, Host, answer, fail, hang, spec};
use crate::support::within;

#[tokio::test(start_paused = true)]
async fn an_answer_keeps_what_was_reserved_unless_it_was_reported() {
    within(1_000, async {
        let host = Host::start().await;
        assert_eq!(host.tollgate.call(&spec(), answer).await.expect("it answers"), "hello");
        assert_eq!(host.tokens_used().await, 100, "nothing was reported");
        let reporting = |call: CallContext| async move {
            call.report_usage([("tokens", 7)]).expect("it holds the key");
            answer(call).await
        };
        host.tollgate.call(&spec(), reporting).await.expect("it answers");
        assert_eq!((host.tokens_used().await, host.available("calls").await), (107, 98));
        host.assert_nothing_left().await;
        assert_eq!(host.breaker().consecutive_failures, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_is_the_calls_own_and_a_failure() {
    within(1_000, async {
        let host = Host::start().await;
        let answered: Answer = host.tollgate.call(&spec(), fail).await;
        let error = answered.expect_err("it fails");
        assert!(matches!(error, CallError::Failed("no")));
        assert_eq!(error.to_string(), "no");
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (100, 1));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_through_and_settles_on_its_way() {
    within(1_000, async {
        let host = Host::start().await;
        let panicking = |call: CallContext| async move {
            call.report_usage([("tokens", 30)]).expect("it holds the key");
            tokio::task::yield_now().await;
            if call.attempt() == 1 {
                panic!("in the call");
            }
            answer(call).await
        };
        let spec = spec();
        let guarded = std::panic::AssertUnwindSafe(host.tollgate.call(&spec, panicking)).catch_unwind();
        let panic = guarded.await.expect_err("it panics");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the call"));
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (30, 0));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_settles_too() {
    within(1_000, async {
        let host = Host::start().await;
        let run = |_: CallContext| -> std::future::Ready<Result<(), ()>> { panic!("making the future") };
        let spec = spec();
        let guarded = std::panic::AssertUnwindSafe(host.tollgate.call(&spec, run)).catch_unwind();
        assert!(guarded.await.is_err());
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (100, 0));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_dropped_at_its_deadline_and_that_is_a_failure() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = spec().deadline(Duration::from_millis(2_500));
        let error = host.tollgate.call(&spec, hang).await.expect_err("too long");
        assert!(matches!(error, CallError::TimedOut { after } if after == Duration::from_millis(2_500)));
        let text = "the call was not done within 2500 ms and was dropped; allow more with `deadline`";
        assert_eq!(error.to_string(), text);
        assert_eq!(host.elapsed(), Duration::from_millis(2_500));
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (100, 1));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_with_the_deadline_is_an_answer() {
    within(1_000, async {
        let host = Host::start().await;
        let late = |call: CallContext| async move {
            tokio::time::sleep(call.time_left()).await;
            answer(call).await
        };
        let spec = spec().deadline(Duration::from_secs(1));
        assert_eq!(host.tollgate.call(&spec, late).await.expect("just in time"), "hello");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_does_not_run_and_charges_nothing() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = |tokens| CallSpec::of([("slots", 1), ("tokens", tokens)]).expect("good keys");
        let refused = |result: Answer| match result {
            Err(CallError::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        };
        let _others = [host.tollgate.call(&spec(950), answer).await.expect("it fits")];
        let unreached = |_: CallContext| async { panic!("it must not run") };
        let refusal = refused(host.tollgate.call(&spec(100), unreached).await);
        assert_eq!((refusal.reason.clone(), refusal.denied.len()), (Reason::Denied, 1));
        let text = CallError::<&str>::Refused(refusal).to_string();
        assert_eq!(text, "reservation refused: no room in `tokens`, retry after 3600000 ms");
        let never = refused(host.tollgate.call(&spec(1_001), unreached).await);
        assert_eq!(never.reason.code(), "never_fits:tokens");
        assert_eq!(host.elapsed(), Duration::ZERO, "both are known at once");
        assert_eq!(host.tokens_used().await, 950);
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_turn_as_long_as_it_says() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = CallSpec::of([("slots", 2)]).expect("good keys").max_wait(Duration::from_secs(5));
        let long = |call: CallContext| async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            answer(call).await
        };
        let (first, second) = tokio::join!(host.tollgate.call(&spec, long), host.tollgate.call(&spec, answer));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(host.elapsed(), Duration::from_secs(4));
        let (first, second) = tokio::join!(host.tollgate.call(&spec, hang_for_6), host.tollgate.call(&spec, answer));
        assert!(first.is_ok() && matches!(second, Err(CallError::Refused(_))));
        host.assert_nothing_left().await;
    })
    .await;
}

async fn hang_for_6(call: CallContext) -> Result<&'static str, &'static str> {
    tokio::time::sleep(Duration::from_secs(6)).await;
    answer(call).await
}

/// What an attempt returns and reports, and whether its breaker counts a failure, a success, or nothing.
#[tokio::test(start_paused = true)]
async fn the_outcome_is_what_was_reported() {
    within(1_000, async {
        let (success, failure, neutral) = (Some(0), Some(2), Some(1));
        for (is_ok, status, fault, failures_after) in [
            (true, None, None, success),
            (true, Some(200), None, success),
            (true, Some(500), None, failure),
            (true, Some(404), None, neutral),
            (true, Some(200), Some(Fault::StreamCut), failure),
            (true, None, Some(Fault::Cancelled), neutral),
            (false, None, None, failure),
            (false, Some(200), None, failure),
            (false, Some(429), None, neutral),
            (false, Some(400), None, neutral),
            (false, Some(408), None, failure),
            (false, Some(529), None, failure),
            (false, Some(400), Some(Fault::Connect), failure),
        ] {
            let host = Host::start().await;
            let _: Answer = host.tollgate.call(&spec(), fail).await;
            let reporting = |call: CallContext| async move {
                if let Some(status) = status {
                    call.report_response(status, &[], b"").expect("it runs");
                }
                if let Some(fault) = fault {
                    call.report_fault(fault).expect("it runs");
                }
                if is_ok { answer(call).await } else { fail(call).await }
            };
            assert_eq!(host.tollgate.call(&spec(), reporting).await.is_ok(), is_ok);
            let view = host.breaker();
            assert_eq!(Some(view.consecutive_failures), failures_after, "{is_ok} {status:?} {fault:?}");
            assert_eq!(view.state, BreakerState::Closed);
        }
    })
    .await;
}
