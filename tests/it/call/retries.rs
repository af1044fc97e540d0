//! Calls that are made again.

use std::time::Duration;

use tollgate::CallError;
use tollgate::call::{CallContext, CallSpec, RetryPolicy};
use tollgate::config::Settings;
use tollgate::policy::{Backoff, BreakerState, LeaseId};

use super::host::{Answer, Host, Runs, answer, breaker_name, fail, hang, spec};
use crate::support::{concurrency, rolling, sleep_ms, within};

/// Up to three attempts, a second apart and then two, without jitter.
fn patient() -> CallSpec {
    let seconds = Duration::from_secs;
    spec().retries(RetryPolicy::attempts(3).backoff(Backoff::new(seconds(1), 200, seconds(30), Duration::ZERO)))
}

/// A host whose budget of retries has filled.
async fn host() -> Host {
    let host = Host::start().await;
    let call: Answer = host.tollgate.call(&spec(), answer).await;
    call.expect("it answers");
    sleep_ms(10_000).await;
    host
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_again_under_a_new_lease() {
    within(10_000, async {
        let host = host().await;
        let leases = std::sync::Mutex::new(Vec::<(u32, LeaseId)>::new());
        let run = |call: CallContext| {
            leases.lock().expect("only pushes").push((call.attempt(), call.lease_id().expect("it has one")));
            async move { if call.attempt() < 3 { fail(call).await } else { answer(call).await } }
        };
        let start = host.elapsed();
        assert_eq!(host.tollgate.call(&patient(), run).await.expect("the third answers"), "hello");
        assert_eq!(host.elapsed() - start, Duration::from_secs(3));
        let leases = leases.into_inner().expect("only pushes");
        assert_eq!(leases.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(leases[0].1 != leases[1].1 && leases[1].1 != leases[2].1);
        assert_eq!(host.tokens_used().await, 400, "each attempt is charged");
        let totals = host.tollgate.call_totals();
        assert_eq!((totals.calls, totals.retries, totals.retries_denied), (2, 2, 0));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_returned_when_all_attempts_failed() {
    within(10_000, async {
        let host = host().await;
        let run = |call: CallContext| async move { Err::<(), _>(call.attempt()) };
        assert!(matches!(host.tollgate.call(&patient(), run).await, Err(CallError::Failed(3))));
        let timing_out = patient().deadline(Duration::from_secs(1));
        let start = host.elapsed();
        let error = host.tollgate.call(&timing_out, hang).await.expect_err("it hangs");
        assert!(matches!(error, CallError::TimedOut { .. }));
        // Five failures in a row open the breaker: there is no third attempt.
        assert_eq!(host.elapsed() - start, Duration::from_secs(3));
        assert_eq!(host.breaker().state, BreakerState::Open);
    })
    .await;
}

/// How often a call runs whose every attempt reports this, and for how long.
async fn attempts(spec: &CallSpec, is_ok: bool, status: u16, headers: &[(&str, &str)], body: &str) -> (u32, Duration) {
    let (host, runs) = (host().await, Runs::default());
    let start = host.elapsed();
    let run = |call: CallContext| {
        runs.count();
        call.report_response(status, headers, body.as_bytes()).expect("it runs");
        async move { if is_ok { answer(call).await } else { fail(call).await } }
    };
    let result: Answer = host.tollgate.call(spec, run).await;
    assert_eq!(result.is_ok(), is_ok, "{result:?}");
    host.assert_nothing_left().await;
    (runs.get(), host.elapsed() - start)
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_made_again() {
    within(10_000, async {
        let seconds = Duration::from_secs;
        for (is_ok, status, runs) in
            [(true, 200, 1), (false, 400, 1), (false, 404, 1), (false, 503, 3), (true, 503, 3), (false, 408, 3)]
        {
            let expected = (runs, if runs == 1 { seconds(0) } else { seconds(3) });
            assert_eq!(attempts(&patient(), is_ok, status, &[], "").await, expected, "{status}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_can_never_pass_is_not_made_again() {
    within(10_000, async {
        let openai = patient().provider(tollgate::policy::Provider::OpenAi);
        let body = r#"{"error":{"message":"quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        assert_eq!(attempts(&openai, false, 429, &[("retry-after", "1")], body).await, (1, Duration::ZERO));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_provider_asks_for_is_kept() {
    within(10_000, async {
        let seconds = Duration::from_secs;
        let spec = patient();
        // Shorter than the backoff, in the past, and longer.
        for (header, expected) in [("0", (3, seconds(3))), ("1", (3, seconds(3))), ("7", (3, seconds(14)))] {
            assert_eq!(attempts(&spec, false, 429, &[("retry-after", header)], "").await, expected, "{header}");
        }
        let past = [("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")];
        assert_eq!(attempts(&spec, false, 429, &past, "").await, (3, seconds(3)));
        // A failure may ask for a wait too.
        assert_eq!(attempts(&spec, false, 503, &[("retry-after", "7")], "").await, (3, seconds(14)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_the_call_at_once() {
    within(10_000, async {
        let spec = patient().max_wait(Duration::from_secs(10));
        assert_eq!(attempts(&spec, false, 429, &[("retry-after", "11")], "").await, (1, Duration::ZERO));
        assert_eq!(attempts(&spec, false, 429, &[("retry-after", "86400")], "").await, (1, Duration::ZERO));
        // The second wait does not fit any more.
        assert_eq!(attempts(&spec, false, 429, &[("retry-after", "7")], "").await, (2, Duration::from_secs(7)));
        assert_eq!(attempts(&spec.max_wait(Duration::ZERO), false, 503, &[], "").await, (1, Duration::ZERO));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_makes_no_sense_is_none() {
    within(10_000, async {
        let absurd = [("retry-after", "99999999999")];
        assert_eq!(attempts(&patient(), false, 429, &absurd, "").await, (3, Duration::from_secs(3)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_can_make_itself_the_last() {
    within(10_000, async {
        let (host, runs) = (host().await, Runs::default());
        let run = |call: CallContext| {
            runs.count();
            call.forbid_retry();
            fail(call)
        };
        assert!(host.tollgate.call(&patient(), run).await.is_err());
        assert_eq!(runs.get(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_in_line_counts_too() {
    within(10_000, async {
        let host = host().await;
        let holder = host.tollgate.reserve(crate::support::request(&[("slots", 2)])).await.expect("it fits");
        let runs = Runs::default();
        let run = |call: CallContext| {
            runs.count();
            fail(call)
        };
        let spec = patient().max_wait(Duration::from_millis(5_500));
        let freed = async {
            sleep_ms(5_000).await;
            drop(holder);
        };
        let (result, ()) = tokio::join!(host.tollgate.call(&spec, run), freed);
        assert!(matches!(result, Err(CallError::Failed("no"))));
        assert_eq!(runs.get(), 1, "half a second is left, which is less than the backoff");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_room_for_another_attempt_the_last_error_stands() {
    within(10_000, async {
        let host = Host::with([concurrency("slots", 2, 60), rolling("tokens", 100, 3_600)], Settings::default()).await;
        sleep_ms(1_000).await;
        let spec = CallSpec::of([("tokens", 100)]).expect("good keys").retries(RetryPolicy::attempts(3));
        let result: Answer = host.tollgate.call(&spec, fail).await;
        assert!(matches!(result, Err(CallError::Failed("no"))), "{result:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_returns_the_first_error_at_once() {
    within(10_000, async {
        let host = Host::start().await;
        // Nothing is saved up yet.
        assert!(matches!(host.tollgate.call(&patient(), fail).await, Err(CallError::Failed("no"))));
        assert_eq!(host.elapsed(), Duration::ZERO);
        let totals = host.tollgate.call_totals();
        assert_eq!((totals.calls, totals.retries, totals.retries_denied), (1, 0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_amplified() {
    within(10_000, async {
        let limit = crate::support::bucket("calls", 1_000_000, 1_000_000, 1);
        for breaker in [None, Some(breaker_name())] {
            let host = Host::with([limit.clone()], Settings::default()).await;
            let mut spec = CallSpec::of([("calls", 1)]).expect("good keys");
            if let Some(name) = breaker {
                // Kept closed: only the budget holds retries back here.
                host.tollgate.breaker(&name).expect("there is room").force_closed().await.expect("it answers");
                spec = spec.breaker(name);
            }
            let quick = Backoff::new(Duration::from_millis(1), 100, Duration::from_millis(1), Duration::ZERO);
            let spec = spec.retries(RetryPolicy::attempts(10).backoff(quick));
            let (runs, mut calls) = (Runs::default(), tokio::task::JoinSet::new());
            for call in 0..20_000 {
                let (tollgate, spec, runs) = (host.tollgate.clone(), spec.clone(), runs.clone());
                calls.spawn(async move {
                    let run = |call: CallContext| {
                        runs.count();
                        fail(call)
                    };
                    assert!(tollgate.call(&spec, run).await.is_err());
                });
                if call % 20 == 0 {
                    sleep_ms(1).await;
                }
            }
            while let Some(call) = calls.join_next().await {
                call.expect("it did not panic");
            }
            // 20 000 calls within a second: a fifth of them, and ten for that second.
            assert!((23_990..=24_020).contains(&runs.get()), "{} attempts", runs.get());
            assert_eq!(host.tollgate.totals().live_leases, 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_ends_the_retries() {
    within(10_000, async {
        let host = Host::start().await;
        for _ in 0..4 {
            let _: Answer = host.tollgate.call(&spec(), fail).await;
        }
        sleep_ms(10_000).await;
        let runs = Runs::default();
        let run = |call: CallContext| {
            runs.count();
            fail(call)
        };
        let result: Answer = host.tollgate.call(&patient(), run).await;
        assert!(matches!(result, Err(CallError::Failed("no"))), "{result:?}");
        assert_eq!((runs.get(), host.breaker().state), (1, BreakerState::Open));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_ran_pay_for_no_retries() {
    within(10_000, async {
        let host = Host::with([crate::support::bucket("calls", 1_000, 1_000, 1)], Settings::default()).await;
        let quick = Backoff::new(Duration::from_secs(1), 100, Duration::from_secs(1), Duration::ZERO);
        let spec = CallSpec::of([("calls", 1)]).expect("good keys").max_wait(Duration::from_secs(1));
        let spec = spec.retries(RetryPolicy::attempts(2).backoff(quick));
        let impatient = spec.clone().max_wait(Duration::ZERO);
        let runs = Runs::default();
        let run = |call: CallContext| {
            runs.count();
            async move {
                sleep_ms(1).await;
                fail(call).await
            }
        };
        let first = futures_util::future::join_all((0..1_000).map(|_| host.tollgate.call(&spec, run)));
        let refused = async {
            let refused = (0..5_000).map(|_| host.tollgate.call(&impatient, run));
            assert!(futures_util::future::join_all(refused).await.iter().all(Result::is_err));
        };
        tokio::join!(first, refused);
        assert!((1_200..=1_201).contains(&runs.get()), "{} attempts of 1000 calls that ran", runs.get());
    })
    .await;
}
