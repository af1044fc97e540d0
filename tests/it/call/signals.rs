//! What a provider says in the head of an answer that then streams for long.

use tollgate::policy::{DefinitionFields, Provider};
use tollgate::{CallContext, CallSpec};

use super::host::Host;
use crate::support::{bucket, sleep_ms, within};

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
