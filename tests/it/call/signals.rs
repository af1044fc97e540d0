//! What a provider says in the head of an answer that then streams for long.

use tollgate::policy::{DefinitionFields, Provider};
use tollgate::{CallContext, CallSpec};

use super::host::Host;
use crate::support::{bucket, key, rolling, sleep_ms, within};

const KEY: &str = "anthropic:tpm";

/// A bucket of 1 000 tokens that fills in 100 s.
async fn host() -> Host {
    let limit = DefinitionFields { unit: Some("tokens".to_owned()), ..bucket(KEY, 1_000, 1_000, 100) };
    Host::with([limit], tollgate::config::Settings::default()).await
}

/// A call of 100 tokens, of whose provider so many are left until the reset, that streams for `seconds`.
async fn stream(host: &Host, remaining: u64, reset_seconds: u64, seconds: u64) {
    let spec = CallSpec::of([(KEY, 100)]).expect("a good key").provider(Provider::Anthropic);
    let reset = i64::try_from(host.tollgate.unix_ms() + reset_seconds * 1_000).expect("of this age");
    let reset = jiff::Timestamp::from_millisecond(reset).expect("of this age").to_string();
    let remaining = remaining.to_string();
    let head = [
        ("anthropic-ratelimit-tokens-remaining", remaining.as_str()),
        ("anthropic-ratelimit-tokens-reset", reset.as_str()),
    ];
    let streaming = |call: CallContext| async move {
        call.report_response(200, &head, b"").expect("it runs");
        sleep_ms(seconds * 1_000).await;
        Ok::<_, ()>(())
    };
    host.tollgate.call(&spec, streaming).await.expect("it answers");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_in_force_as_soon_as_the_head_is_there() {
    within(1_000, async {
        let host = host().await;
        let streaming = stream(&host, 300, 70, 50);
        let look = async {
            sleep_ms(1).await;
            assert_eq!(host.available(KEY).await, 300);
        };
        tokio::join!(streaming, look);
        assert_eq!(host.available(KEY).await, 400, "600 are withheld, and the end of the stream withholds no more");
        sleep_ms(20_000).await;
        assert_eq!(host.available(KEY).await, 1_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_left_long_ago_says_nothing_when_the_stream_ends() {
    within(1_000, async {
        let host = host().await;
        stream(&host, 0, 60, 150).await;
        assert_eq!(host.available(KEY).await, 1_000, "the provider's limit was reset long before");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_another_task_reports_is_heard_at_once() {
    within(1_000, async {
        let host = Host::with([bucket(KEY, 1_000, 1_000, 100)], tollgate::config::Settings::default()).await;
        let run = |call: CallContext| async move {
            let requesting = tokio::spawn(async move {
                for after in ["30", "60"] {
                    sleep_ms(10_000).await;
                    call.report_response(429, &[("retry-after", after)], b"").expect("it runs");
                }
                sleep_ms(10_000).await;
            });
            requesting.await
        };
        let look = async {
            for (wait_ms, left) in [(10_001, 29_999), (10_000, 59_999)] {
                sleep_ms(wait_ms).await;
                let usage = host.tollgate.usage(&key(KEY)).await.expect("it answers").expect("a limit").usage;
                let paused_until = usage.paused_until.expect("the provider said so");
                assert_eq!(paused_until.since(host.tollgate.now()).as_millis(), left);
            }
        };
        let spec = CallSpec::of([(KEY, 100)]).expect("a good key");
        let (called, ()) = tokio::join!(host.tollgate.call(&spec, run), look);
        called.expect("it does not panic");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_reaches_limits_whose_window_was_shorter_than_the_call() {
    within(1_000, async {
        for streams in [false, true] {
            let host = Host::with([rolling("a_second", 10, 1)], tollgate::config::Settings::default()).await;
            let run = |call: CallContext| async move {
                sleep_ms(3_000).await;
                call.report_response(429, &[("retry-after", "30")], b"").expect("it runs");
                sleep_ms(if streams { 100 } else { 0 }).await;
                Err::<(), _>("no")
            };
            let spec = CallSpec::of([("a_second", 1)]).expect("a good key");
            assert!(host.tollgate.call(&spec, run).await.is_err());
            let usage = host.tollgate.usage(&key("a_second")).await.expect("it answers").expect("a limit").usage;
            let paused_until = usage.paused_until.expect("the provider said so");
            let left = paused_until.since(host.tollgate.now());
            assert_eq!(left.as_millis(), if streams { 29_900 } else { 30_000 });
        }
    })
    .await;
}
