//! Pipelines that reserve twice.

use std::sync::Arc;
use std::time::Duration;

use tollgate::CallError;
use tollgate::call::{CallContext, CallHook, CallHooks, CallSpec, RateLimitHook, run_call};

use super::host::{Host, hang, spec};
use crate::support::{key, within};

/// Limits, and within them others.
fn two_limits(host: &Host, outer: CallSpec, inner: CallSpec) -> CallHooks {
    let limits = |spec| Arc::new(RateLimitHook::new(host.tollgate.clone(), spec)) as Arc<dyn CallHook>;
    CallHooks::new([limits(outer), limits(inner)])
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_says_reaches_the_limits_of_every_hook() {
    within(1_000, async {
        for streams in [false, true] {
            let host = Host::start().await;
            let of = |key| CallSpec::of([(key, 1)]).expect("a good key");
            let hooks = two_limits(&host, of("tokens"), of("calls"));
            let provider = |call: CallContext, ()| async move {
                call.report_response(429, &[("retry-after", "30")], b"").expect("it runs");
                if streams {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
                Err::<(), _>("no")
            };
            assert!(run_call(provider, (), &hooks).await.is_err());
            for limit in ["tokens", "calls"] {
                let usage = host.tollgate.usage(&key(limit)).await.expect("it answers").expect("a limit").usage;
                assert!(usage.paused_until.is_some(), "{limit}");
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_time_left_is_that_of_the_limits_however_old_they_are() {
    within(1_000_000, async {
        let host = Host::start().await;
        tokio::time::sleep(Duration::from_secs(5_000)).await;
        let of = |seconds| spec().deadline(Duration::from_secs(seconds));
        for (outer, inner) in [(20, 100), (100, 20)] {
            let hooks = two_limits(&host, of(outer), of(inner));
            let provider = |call: CallContext, ()| async move {
                assert_eq!(call.time_left(), Duration::from_secs(20));
                hang(call).await
            };
            let error = run_call(provider, (), &hooks).await.expect_err("it hangs");
            assert!(matches!(error, CallError::TimedOut { after } if after == Duration::from_secs(20)), "{error:?}");
        }
    })
    .await;
}
