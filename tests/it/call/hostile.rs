//! Code of the host that panics or calls back, wherever a guarded call runs it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use tollgate::call::{CallContext, CallSpec, ReportError, RetryPolicy};
use tollgate::policy::{Class, Classify, Outcome};
use tollgate::{CallError, Tollgate};

use super::host::{Answer, Host, answer, fail, hang, spec};
use crate::support::{sleep_ms, within};

/// Panics at every outcome.
#[derive(Debug)]
struct Panicking;

impl Classify for Panicking {
    fn classify(&self, _: &Outcome) -> Class {
        panic!("no class for that")
    }
}

#[tokio::test(start_paused = true)]
async fn a_classify_that_panics_says_nothing_and_hides_nothing() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = spec().classify(Arc::new(Panicking)).deadline(Duration::from_secs(1));
        let spec = spec.retries(RetryPolicy::attempts(3));
        assert_eq!(host.tollgate.call(&spec, answer).await.expect("it answers"), "hello");
        let failed: Answer = host.tollgate.call(&spec, fail).await;
        assert!(matches!(failed, Err(CallError::Failed("no"))));
        assert!(matches!(host.tollgate.call(&spec, hang).await, Err(CallError::TimedOut { .. })));
        // Here it is asked while the call is dropped, and while it unwinds.
        assert!(tokio::time::timeout(Duration::from_millis(500), host.tollgate.call(&spec, hang)).await.is_err());
        let panicking = |_| async { panic!("in the call") };
        let panicked = AssertUnwindSafe(host.tollgate.call::<(), (), _>(&spec, panicking)).catch_unwind().await;
        let panic = panicked.expect_err("it panics");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the call"));
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (500, 0));
        host.assert_nothing_left().await;
    })
    .await;
}

/// Asks the call about which it is asked.
#[derive(Debug, Default)]
struct Curious {
    call: OnceLock<CallContext>,
    told: OnceLock<(Result<(), ReportError>, bool)>,
}

impl Classify for Curious {
    fn classify(&self, _: &Outcome) -> Class {
        let call = self.call.get().expect("it ran");
        let _ = self.told.set((call.report_usage([("tokens", 1)]), call.lease_id().is_some()));
        Class::Failure
    }
}

#[tokio::test(start_paused = true)]
async fn a_classify_may_ask_the_call() {
    within(1_000, async {
        let host = Host::start().await;
        let curious = Arc::new(Curious::default());
        let spec = spec().classify(Arc::<Curious>::clone(&curious));
        let run = |call: CallContext| {
            curious.call.set(call.clone()).expect("there is one attempt");
            answer(call)
        };
        host.tollgate.call(&spec, run).await.expect("it answers");
        assert_eq!(curious.told.get(), Some(&(Err(ReportError::Ended), true)), "it comes too late");
        assert_eq!((host.tokens_used().await, host.breaker().consecutive_failures), (100, 1));
        host.assert_nothing_left().await;
    })
    .await;
}

/// What a future does when it is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Reports,
    Panics,
    CallsAgain,
}

struct Dropped(Last, CallContext, Tollgate);

impl Drop for Dropped {
    fn drop(&mut self) {
        match self.0 {
            Last::Reports => self.1.report_usage([("tokens", 7)]).expect("it is not over yet"),
            Last::Panics => panic!("in the drop"),
            Last::CallsAgain => {
                let spec = CallSpec::of([("tokens", 5)]).expect("good keys");
                self.2.call(&spec, answer).now_or_never().expect("at once").expect("it answers");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_may_do_anything_when_it_is_dropped() {
    within(1_000, async {
        for (last, tokens) in [(Last::Reports, 7), (Last::Panics, 100), (Last::CallsAgain, 105)] {
            for is_cancelled in [false, true] {
                let host = Host::start().await;
                let spec = spec().deadline(Duration::from_secs(if is_cancelled { 100 } else { 1 }));
                let run = |call: CallContext| {
                    let dropped = Dropped(last, call.clone(), host.tollgate.clone());
                    async move {
                        let _dropped = dropped;
                        hang(call).await
                    }
                };
                let patience = Duration::from_secs(10);
                let call = async { tokio::time::timeout(patience, host.tollgate.call(&spec, run)).await };
                let ended = AssertUnwindSafe(call).catch_unwind().await;
                assert_eq!(ended.is_err(), last == Last::Panics);
                assert_eq!(host.tokens_used().await, tokens);
                // Its panic is no timeout.
                let is_failure = !is_cancelled && last != Last::Panics;
                assert_eq!(host.breaker().consecutive_failures, u32::from(is_failure));
                host.assert_nothing_left().await;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_within_a_call_over_the_same_slot_is_refused_in_time() {
    within(1_000, async {
        let host = Host::start().await;
        let both = CallSpec::of([("slots", 2)]).expect("good keys").max_wait(Duration::from_secs(5));
        let run = |_| host.tollgate.call(&both, answer);
        let outer = host.tollgate.call(&both, run).await;
        assert!(matches!(outer, Err(CallError::Failed(CallError::Refused(_)))), "{outer:?}");
        assert_eq!(host.elapsed(), Duration::from_secs(5));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_every_wait_and_no_call_that_runs() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = CallSpec::of([("slots", 2)]).expect("good keys").retries(RetryPolicy::attempts(3));
        sleep_ms(1_000).await;
        let slow = |call: CallContext| async move {
            sleep_ms(10_000).await;
            if call.attempt() == 1 { fail(call).await } else { answer(call).await }
        };
        let shutdown = async {
            sleep_ms(5_000).await;
            assert_eq!(host.tollgate.waiting(), 1);
            host.tollgate.shutdown().await;
        };
        let waiting = async {
            let refused: Answer = host.tollgate.call(&spec, answer).await;
            (refused, host.elapsed())
        };
        let (running, (waited, at), ()) = tokio::join!(host.tollgate.call(&spec, slow), waiting, shutdown);
        assert!(matches!(running, Err(CallError::Failed("no"))), "{running:?}");
        assert!(matches!(&waited, Err(CallError::Refused(_))), "{waited:?}");
        assert_eq!(at, Duration::from_secs(6), "five after the first second");
        assert_eq!(host.tollgate.totals().live_leases, 0);
    })
    .await;
}
