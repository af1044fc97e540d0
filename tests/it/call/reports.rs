//! What a call reports while it runs.

use tollgate::call::{CallContext, ReportError};
use tollgate::policy::Fault;

use super::host::{Host, answer, fail, spec};
use crate::support::{key, sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn the_last_total_counts() {
    within(1_000, async {
        let host = Host::start().await;
        let streaming = |call: CallContext| async move {
            for tokens in [10, 40, 90, 25] {
                call.report_usage([("tokens", tokens)]).expect("it holds the key");
                sleep_ms(10).await;
            }
            answer(call).await
        };
        host.tollgate.call(&spec(), streaming).await.expect("it answers");
        assert_eq!(host.tokens_used().await, 25);
        let twice = |call: CallContext| async move {
            call.report_usage([("tokens", 20), ("tokens", 3)]).expect("it holds the key");
            answer(call).await
        };
        host.tollgate.call(&spec(), twice).await.expect("it answers");
        assert_eq!(host.tokens_used().await, 48, "a key named twice counts with the sum");
        let more = |call: CallContext| async move {
            call.report_usage([("tokens", 152), ("calls", 0)]).expect("it holds the keys");
            answer(call).await
        };
        host.tollgate.call(&spec(), more).await.expect("it answers");
        assert_eq!((host.tokens_used().await, host.available("calls").await), (200, 98), "more than was reserved");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_is_charged_what_it_reported_or_what_it_reserved() {
    within(1_000, async {
        let host = Host::start().await;
        let cut = |call: CallContext, tokens: Option<u64>| async move {
            if let Some(tokens) = tokens {
                call.report_usage([("tokens", tokens)]).expect("it holds the key");
            }
            call.report_response(200, &[], b"").expect("it runs");
            call.report_fault(Fault::StreamCut).expect("it runs");
            fail(call).await
        };
        assert!(host.tollgate.call(&spec(), |call| cut(call, Some(33))).await.is_err());
        assert_eq!(host.tokens_used().await, 33);
        assert!(host.tollgate.call(&spec(), |call| cut(call, None)).await.is_err());
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (133, 2));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_call_does_not_hold_is_an_error_at_once() {
    within(1_000, async {
        let host = Host::start().await;
        let run = |call: CallContext| async move {
            let stray = call.report_usage([("tokens", 5), ("others", 1)]).expect_err("not held");
            assert_eq!(stray, ReportError::KeyNotHeld(key("others")));
            let text = "the call does not hold `others`; report only keys that it required";
            assert_eq!(stray.to_string(), text);
            let bad = call.report_usage([("a b", 1)]).expect_err("no key");
            let text = "`usage[0].key` has ` ` at byte 1; use only letters, digits and `.` `_` `:` `/` `@` `+` `-`";
            assert_eq!(bad.to_string(), text);
            answer(call).await
        };
        host.tollgate.call(&spec(), run).await.expect("it answers");
        assert_eq!(host.tokens_used().await, 100, "nothing of a bad report was noted");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_report_after_the_end_comes_too_late() {
    within(1_000, async {
        let host = Host::start().await;
        let late = host.tollgate.call(&spec(), |call| async move { Ok::<_, ()>(call) }).await.expect("it answers");
        assert_eq!(late.report_usage([("tokens", 1)]), Err(ReportError::Ended));
        assert_eq!(late.report_response(500, &[], b""), Err(ReportError::Ended));
        assert_eq!(late.report_fault(Fault::Other), Err(ReportError::Ended));
        assert_eq!(ReportError::Ended.to_string(), "the call is over, and what it used is already settled");
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (100, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_report_may_come_from_another_task() {
    within(1_000, async {
        let host = Host::start().await;
        let run = |call: CallContext| async move {
            let reporter = call.clone();
            let reported = tokio::spawn(async move { reporter.report_usage([("tokens", 11)]) });
            reported.await.expect("it did not panic").expect("it holds the key");
            answer(call).await
        };
        host.tollgate.call(&spec(), run).await.expect("it answers");
        assert_eq!(host.tokens_used().await, 11);
    })
    .await;
}
