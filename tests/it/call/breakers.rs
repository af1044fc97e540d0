//! The guarded call with its circuit breaker, and with what providers say of their limits.

use std::sync::Arc;
use std::time::Duration;

use tollgate::CallError;
use tollgate::call::{CallContext, CallSpec};
use tollgate::policy::{BreakerState, Class, Classify, Outcome, Reason};

use super::host::{Answer, BREAKER, Host, Runs, answer, breaker_name, fail, spec};
use crate::support::{sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn five_failures_open_the_breaker_and_calls_do_not_run() {
    within(10_000, async {
        let host = Host::start().await;
        let runs = Runs::default();
        let failing = |call: CallContext| {
            runs.count();
            fail(call)
        };
        for _ in 0..5 {
            let _: Answer = host.tollgate.call(&spec(), failing).await;
        }
        assert_eq!(host.breaker().state, BreakerState::Open);
        let used = host.tokens_used().await;
        let refused: Answer = host.tollgate.call(&spec(), failing).await;
        let Err(CallError::Refused(refusal)) = refused else { panic!("not refused: {refused:?}") };
        assert_eq!(refusal.reason, Reason::BreakerOpen(breaker_name()));
        assert_eq!(refusal.reason.code(), format!("breaker_open:{BREAKER}"));
        assert!(Duration::from_secs(60) <= refusal.retry_after);
        assert_eq!((runs.get(), host.tokens_used().await), (5, used), "it did not run and was not charged");
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn probes_close_it_and_no_more_run_at_once_than_may() {
    within(10_000, async {
        let host = Host::start().await;
        for _ in 0..5 {
            let _: Answer = host.tollgate.call(&spec(), fail).await;
        }
        sleep_ms(host.breaker().retry_after_ms).await;
        let slow = |call: CallContext| async move {
            sleep_ms(1_000).await;
            answer(call).await
        };
        // Without the slots, of which there are two as well.
        let spec = CallSpec::of([("calls", 1)]).expect("good keys").breaker(breaker_name());
        let probes = futures_util::future::join_all((0..5).map(|_| host.tollgate.call(&spec, slow))).await;
        assert_eq!(probes.iter().filter(|probe| probe.is_ok()).count(), 2);
        assert_eq!((host.breaker().state, host.breaker().probes), (BreakerState::Closed, 0));
        host.tollgate.call(&spec, answer).await.expect("it is closed");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_gives_its_place_back() {
    within(10_000, async {
        let host = Host::start().await;
        for _ in 0..5 {
            let _: Answer = host.tollgate.call(&spec(), fail).await;
        }
        sleep_ms(host.breaker().retry_after_ms).await;
        for _ in 0..10 {
            let spec = CallSpec::of([("slots", 1)]).expect("good keys").breaker(breaker_name());
            let hanging = host.tollgate.call(&spec, super::host::hang);
            assert!(tokio::time::timeout(Duration::from_millis(10), hanging).await.is_err());
            assert_eq!((host.breaker().state, host.breaker().probes), (BreakerState::HalfOpen, 0));
        }
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_429_pauses_the_limits_and_later_calls_wait_for_its_end() {
    within(10_000, async {
        let host = Host::start().await;
        let limited = |call: CallContext| async move {
            call.report_response(429, &[("Retry-After", "20")], b"").expect("it runs");
            fail(call).await
        };
        assert!(matches!(host.tollgate.call(&spec(), limited).await, Err(CallError::Failed("no"))));
        assert_eq!((host.breaker().state, host.breaker().consecutive_failures), (BreakerState::Closed, 0));
        let hasty: Answer = host.tollgate.call(&spec().max_wait(Duration::from_secs(5)), answer).await;
        let Err(CallError::Refused(refusal)) = hasty else { panic!("not refused: {hasty:?}") };
        assert!(matches!(refusal.reason, Reason::LimitPaused(_)), "{refusal:?}");
        assert_eq!(host.elapsed(), Duration::ZERO, "a pause is known to last");
        assert_eq!(host.tollgate.call(&spec(), answer).await.expect("it waits"), "hello");
        assert_eq!(host.elapsed(), Duration::from_secs(20));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_the_pause_in_force() {
    within(10_000, async {
        let host = Host::start().await;
        let limited = |call: CallContext| async move {
            call.report_response(429, &[("Retry-After", "20")], b"").expect("it runs");
            super::host::hang(call).await
        };
        assert!(tokio::time::timeout(Duration::from_secs(1), host.tollgate.call(&spec(), limited)).await.is_err());
        let hasty: Answer = host.tollgate.call(&spec().max_wait(Duration::ZERO), answer).await;
        let Err(CallError::Refused(refusal)) = hasty else { panic!("not refused: {hasty:?}") };
        assert!(matches!(refusal.reason, Reason::LimitPaused(_)), "{refusal:?}");
    })
    .await;
}

/// Takes every client error for a failure.
#[derive(Debug)]
struct Strict;

impl Classify for Strict {
    fn classify(&self, outcome: &Outcome) -> Class {
        if outcome.status.is_some_and(|status| status < 400) { Class::Success } else { Class::Failure }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_may_class_outcomes_itself() {
    within(1_000, async {
        let not_found = |call: CallContext| async move {
            call.report_response(404, &[], b"").expect("it runs");
            fail(call).await
        };
        let host = Host::start().await;
        let _: Answer = host.tollgate.call(&spec(), not_found).await;
        assert_eq!(host.breaker().consecutive_failures, 0);
        let _: Answer = host.tollgate.call(&spec().classify(Arc::new(Strict)), not_found).await;
        assert_eq!(host.breaker().consecutive_failures, 1, "for one call");
        let limit = crate::support::concurrency("slots", 2, 60);
        let tollgate = tollgate::Tollgate::builder().limit_fields(limit).classify(Arc::new(Strict)).start().await;
        let tollgate = tollgate.expect("it starts");
        let spec = CallSpec::of([("slots", 1)]).expect("good keys").breaker(breaker_name());
        let _: Answer = tollgate.call(&spec, not_found).await;
        let view = tollgate.find_breaker(&breaker_name()).expect("it was asked").view();
        assert_eq!(view.consecutive_failures, 1, "for all calls");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_is_refused_if_the_breaker_opens_meanwhile() {
    within(10_000, async {
        let host = Host::start().await;
        let spec = CallSpec::of([("slots", 2)]).expect("good keys").breaker(breaker_name());
        let slow = |call: CallContext| async move {
            sleep_ms(5_000).await;
            answer(call).await
        };
        let open = async {
            sleep_ms(1_000).await;
            let breaker = host.tollgate.breaker(&breaker_name()).expect("there is room");
            breaker.force_open().await.expect("it answers");
        };
        let unreached = |_| async { panic!("it must not run") };
        let (first, second, ()) =
            tokio::join!(host.tollgate.call(&spec, slow), host.tollgate.call::<(), (), _>(&spec, unreached), open);
        assert!(first.is_ok());
        assert!(
            matches!(second, Err(CallError::Refused(refusal)) if refusal.reason.code().starts_with("breaker_open"))
        );
        host.assert_nothing_left().await;
    })
    .await;
}
