//! Calls that are dropped, wherever they stand: nothing stays behind.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tollgate::Tollgate;
use tollgate::call::{
    BoxError, CallContext, CallHook, CallHooks, CallSpec, HookError, HookState, RateLimitHook, RetryPolicy, run_call,
};
use tollgate::policy::{Backoff, CallReport};

use super::host::{Host, Runs, answer, breaker_name, fail, hang, spec};
use crate::support::{sleep_ms, within};

/// Polls `call` `polls` times, a millisecond apart, and drops it.
async fn drop_after<T>(polls: u64, call: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = call => Some(result),
        () = sleep_ms(polls) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_never_polled_leaves_nothing() {
    within(1_000, async {
        let host = Host::start().await;
        drop(host.tollgate.call(&spec(), answer));
        assert_eq!(host.tollgate.totals().decided, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn in_the_line() {
    within(1_000, async {
        let host = Host::start().await;
        let both = CallSpec::of([("slots", 2)]).expect("good keys");
        let _holder = host.tollgate.reserve(crate::support::request(&[("slots", 2)])).await.expect("it fits");
        assert!(drop_after(10, host.tollgate.call(&both, answer)).await.is_none());
        assert_eq!((host.tollgate.waiting(), host.tokens_used().await), (0, 0));
        drop(_holder);
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_it_runs() {
    within(100_000, async {
        let host = Host::start().await;
        let run = |call: CallContext| async move {
            sleep_ms(10).await;
            call.report_usage([("tokens", 1)]).expect("it holds the key");
            sleep_ms(90_000).await;
            call.report_usage([("tokens", 2)]).expect("it holds the key");
            hang(call).await
        };
        // Before the first report, after it, after a renewal, after the second.
        let mut used = 0;
        for (after_ms, tokens) in [(5, 100), (300, 1), (31_000, 1), (95_000, 2)] {
            assert!(drop_after(after_ms, host.tollgate.call(&spec(), run)).await.is_none());
            used += tokens;
            assert_eq!(host.tokens_used().await, used, "dropped after {after_ms} ms");
            host.assert_nothing_left().await;
            assert_eq!(host.breaker().consecutive_failures, 0);
        }
        assert_eq!(host.tollgate.totals().expired, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn between_two_attempts() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = spec().retries(RetryPolicy::attempts(3));
        host.tollgate.call(&spec, answer).await.expect("it answers");
        sleep_ms(1_000).await; // For the budget of retries.
        assert!(drop_after(100, host.tollgate.call(&spec, fail)).await.is_none());
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (200, 1));
        host.assert_nothing_left().await;
    })
    .await;
}

/// Takes its time before or after the call.
struct Slow {
    before: bool,
}

impl CallHook for Slow {
    fn before_call<'a>(&'a self, _: &'a CallContext) -> BoxFuture<'a, Result<HookState, HookError>> {
        async {
            sleep_ms(if self.before { 100 } else { 0 }).await;
            Ok(HookState::none())
        }
        .boxed()
    }

    fn after_call<'a>(
        &'a self,
        _: &'a CallContext,
        _: HookState,
        _: &'a CallReport,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async {
            sleep_ms(if self.before { 0 } else { 100 }).await;
            Ok(())
        }
        .boxed()
    }
}

fn pipeline(tollgate: &Tollgate, before: bool) -> CallHooks {
    let limits: Arc<dyn CallHook> = Arc::new(RateLimitHook::new(tollgate.clone(), spec()));
    CallHooks::new([limits, Arc::new(Slow { before })])
}

#[tokio::test(start_paused = true)]
async fn between_the_grant_and_the_call() {
    within(1_000, async {
        let host = Host::start().await;
        let hooks = pipeline(&host.tollgate, true);
        let unreached = |_, ()| async { panic!("it must not run") };
        let call = run_call::<_, (), (), _>(unreached, (), &hooks);
        assert!(drop_after(50, call).await.is_none());
        assert_eq!((host.tollgate.totals().granted, host.tokens_used().await), (1, 0), "it never ran");
        host.assert_nothing_left().await;
        assert_eq!(host.breaker().consecutive_failures, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn between_the_call_and_its_completion() {
    within(1_000, async {
        let host = Host::start().await;
        let hooks = pipeline(&host.tollgate, false);
        let run = |call: CallContext, ()| async move {
            call.report_usage([("tokens", 9)]).expect("it holds the key");
            fail(call).await
        };
        assert!(drop_after(50, run_call(run, (), &hooks)).await.is_none());
        assert_eq!(host.tokens_used().await, 9);
        // How it ended was known already.
        assert_eq!(host.breaker().consecutive_failures, 1);
        host.assert_nothing_left().await;
    })
    .await;
}

/// Polls `call` so many times at most, and drops it.
async fn polled<T>(times: u32, call: impl Future<Output = T>) -> Option<T> {
    let mut call = std::pin::pin!(call);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = call.as_mut().poll(context).map(Some);
        if left == 0 { polled.map(|_| None) } else { polled }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn after_any_number_of_polls() {
    within(100_000, async {
        let (mut times, mut answered) = (0, false);
        while !answered {
            let host = Host::start().await;
            let holder = host.tollgate.reserve(crate::support::request(&[("slots", 1)])).await.expect("it fits");
            let backoff = Backoff::new(Duration::from_millis(1), 100, Duration::from_millis(1), Duration::ZERO);
            let both = CallSpec::of([("slots", 2), ("tokens", 100)]).expect("good keys").breaker(breaker_name());
            let both = both.retries(RetryPolicy::attempts(3).backoff(backoff));
            host.tollgate.call(&CallSpec::of([("tokens", 1)]).expect("a good key"), answer).await.expect("it fits");
            let runs = Runs::default();
            let run = |call: CallContext| {
                runs.count();
                async {
                    call.report_usage([("tokens", 10)]).expect("it holds the key");
                    sleep_ms(400).await;
                    tokio::task::yield_now().await;
                    if call.attempt() < 3 { fail(call).await } else { answer(call).await }
                }
            };
            let call = polled(times, host.tollgate.call(&both, run));
            let release = async {
                sleep_ms(500).await;
                drop(holder);
            };
            let (ended, ()) = tokio::join!(call, release);
            answered = ended.is_some();
            assert_eq!(host.tokens_used().await, 1 + 10 * u64::from(runs.get()), "after {times} polls");
            host.assert_nothing_left().await;
            times += 1;
        }
        assert!((10..100).contains(&times), "{times} polls to the end");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_at_once() {
    within(60, async {
        let host = Host::start().await;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..4_000_u32 {
            let tollgate = host.tollgate.clone();
            calls.spawn(async move {
                let spec = CallSpec::of([("slots", 1)]).expect("good keys").breaker(breaker_name());
                let run = |call: CallContext| async move {
                    for _ in 0..number % 7 {
                        tokio::task::yield_now().await;
                    }
                    assert!(number % 11 != 0, "as one may");
                    answer(call).await
                };
                polled(1 + number % 13, tollgate.call(&spec, run)).await.is_some_and(|answered| answered.is_ok())
            });
        }
        let mut answered = 0;
        while let Some(call) = calls.join_next().await {
            answered += u32::from(call.unwrap_or(false));
        }
        assert!(0 < answered, "some had the time");
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_that_end_anyhow_leave_nothing() {
    within(10_000_000, async {
        let host = Host::start().await;
        let name = super::host::breaker_name();
        host.tollgate.breaker(&name).expect("there is room").force_closed().await.expect("it answers");
        let mut random = fastrand::Rng::with_seed(7);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..10_000 {
            let (tollgate, exit, at) = (host.tollgate.clone(), random.u32(0..6), random.u64(0..200));
            let patience = random.u64(0..400);
            sleep_ms(random.u64(0..20)).await;
            calls.spawn(async move {
                let spec = CallSpec::of([("slots", 1)]).expect("good keys").breaker(super::host::breaker_name());
                let spec = spec.max_wait(Duration::from_millis(300)).retries(RetryPolicy::attempts(2));
                let spec = spec.deadline(Duration::from_millis(150));
                let run = |call: CallContext| async move {
                    sleep_ms(at).await;
                    match exit {
                        0 => answer(call).await,
                        1 => fail(call).await,
                        2 => panic!("as one may"),
                        _ => hang(call).await,
                    }
                };
                drop(drop_after(patience, tollgate.call(&spec, run)).await);
            });
        }
        while calls.join_next().await.is_some() {}
        assert_eq!(host.tollgate.call_totals().calls, 10_000);
        host.assert_nothing_left().await;
    })
    .await;
}
