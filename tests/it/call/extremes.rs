//! Calls with the least and the most of everything.

use std::time::Duration;

use tollgate::CallError;
use tollgate::call::{CallContext, CallSpec, RetryPolicy};
use tollgate::config::Settings;
use tollgate::policy::{Backoff, BreakerState, DefinitionFields, Overage};

use super::host::{Answer, Host, Runs, answer, breaker_name, fail, hang, spec};
use crate::support::{bucket, concurrency, rolling, sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn without_any_time_a_call_is_polled_once() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = spec().deadline(Duration::ZERO).max_wait(Duration::ZERO).retries(RetryPolicy::attempts(u32::MAX));
        assert_eq!(host.tollgate.call(&spec, answer).await.expect("it does not wait"), "hello");
        assert!(matches!(host.tollgate.call(&spec, hang).await, Err(CallError::TimedOut { after: Duration::ZERO })));
        assert_eq!(host.elapsed(), Duration::ZERO);
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_all_the_time_there_is_nothing_overflows() {
    within(1_000_000, async {
        let host = Host::start().await;
        host.tollgate.call(&spec(), answer).await.expect("it answers"); // Budgets fill from the first call on.
        let second = Duration::from_secs(1);
        let waits = [
            (Backoff::new(second, u32::MAX, second, Duration::ZERO), 3),
            // What is too long to come is not waited for.
            (Backoff::new(Duration::MAX, 100, Duration::MAX, Duration::MAX), 1),
            (Backoff::new(Duration::MAX, u32::MAX, Duration::MAX, second), 1),
        ];
        for (backoff, attempts) in waits {
            sleep_ms(10_000).await; // For the budget of retries.
            let spec = spec().deadline(Duration::MAX).max_wait(1_000 * second);
            let spec = spec.retries(RetryPolicy::attempts(u32::MAX).backoff(backoff));
            let runs = Runs::default();
            let run = |call: CallContext| {
                assert!(Duration::from_secs(1_000_000_000) < call.time_left());
                runs.count();
                if runs.get() == 3 {
                    call.forbid_retry()
                }
                fail(call)
            };
            let _: Answer = host.tollgate.call(&spec, run).await;
            assert_eq!(runs.get(), attempts);
            let name = breaker_name();
            host.tollgate.breaker(&name).expect("there is room").reset().await.expect("it answers");
        }
        let patient = CallSpec::of([("slots", 2)]).expect("good keys").max_wait(Duration::MAX);
        let (first, second) = tokio::join!(
            host.tollgate.call(&patient, |call: CallContext| async move {
                sleep_ms(200_000).await;
                answer(call).await
            }),
            host.tollgate.call(&patient, answer)
        );
        assert!(first.is_ok() && second.is_ok());
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_may_report_the_most_that_there_is() {
    within(1_000, async {
        for overage in [Overage::Deny, Overage::Debt, Overage::Repay] {
            let with = |fields| DefinitionFields { overage, ..fields };
            let limits = [concurrency("slots", 2, 60), rolling("tokens", 10, 60), bucket("calls", 10, 10, 60)];
            let host = Host::with(limits.map(with), Settings::default()).await;
            for _ in 0..2 {
                let run = |call: CallContext| {
                    let most = ["slots", "tokens", "calls", "calls"].map(|key| (key, u64::MAX));
                    call.report_usage(most).expect("it holds the keys");
                    answer(call)
                };
                let spec = CallSpec::of([("slots", 1), ("tokens", 1), ("calls", 1)]).expect("good keys");
                let _ = host.tollgate.call(&spec.max_wait(Duration::ZERO), run).await;
                assert_eq!((host.available("slots").await, host.tollgate.totals().live_leases), (2, 0));
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_calls_at_the_half_open_instant_two_run() {
    within(10_000, async {
        let host = Host::with([bucket("calls", 100_000, 1, 1)], Settings::default()).await;
        let spec = CallSpec::of([("calls", 1)]).expect("good keys").breaker(breaker_name());
        for _ in 0..5 {
            let _: Answer = host.tollgate.call(&spec, fail).await;
        }
        let opens_in_ms = host.breaker().retry_after_ms;
        let runs = Runs::default();
        let calls = (0..10_000).map(|_| {
            let (tollgate, spec, runs) = (host.tollgate.clone(), spec.clone(), runs.clone());
            tokio::spawn(async move {
                sleep_ms(opens_in_ms).await;
                let run = |call: CallContext| async {
                    runs.count();
                    tokio::task::yield_now().await;
                    sleep_ms(100).await;
                    fail(call).await
                };
                tollgate.call(&spec, run).await.is_err()
            })
        });
        let calls: Vec<_> = calls.collect();
        for call in calls {
            assert!(call.await.expect("it does not panic"));
        }
        assert_eq!((runs.get(), host.breaker().state, host.breaker().probes), (2, BreakerState::Open, 0));
        assert_eq!((host.tollgate.totals().granted, host.tollgate.totals().live_leases), (7, 0));
    })
    .await;
}
