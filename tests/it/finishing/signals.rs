//! What a provider says of its limits restrains ours, and never loosens them.

use tollgate::policy::{Provider, ProviderResponse, Reason};

use super::*;
use crate::support::{key, used};

/// Limits as people name them: two of a provider's model, and one of a tenant.
async fn provider_limits(place: &Place) -> Tollgate {
    let unit = |fields: tollgate::policy::DefinitionFields, unit: &str| tollgate::policy::DefinitionFields {
        unit: Some(unit.to_owned()),
        ..fields
    };
    let limits = [
        unit(rolling("llm:anthropic:rpm", 100, 60), "requests"),
        unit(rolling("llm:anthropic:tpm", 1_000, 60), "tokens"),
        concurrency("llm:anthropic:concurrency", 10, 600),
        unit(rolling("tenant:acme:daily", 1_000, 86_400), "tokens"),
    ];
    place.start(limits).await
}

fn request_of_model() -> Reserve {
    let keys = ["llm:anthropic:rpm", "llm:anthropic:tpm", "llm:anthropic:concurrency", "tenant:acme:daily"];
    request(&keys.map(|key| (key, 1)))
}

fn answered(tollgate: &Tollgate, status: u16, headers: &[(&str, &str)]) -> CallReport {
    let response = ProviderResponse { status, headers, body: b"" };
    CallReport::of_response(Provider::Anthropic, &response, tollgate.unix_ms())
}

async fn call_answered(tollgate: &Tollgate, status: u16, headers: &[(&str, &str)]) {
    let lease = tollgate.reserve(request_of_model()).await.expect("it is granted");
    lease.finish(used(&[]), &answered(tollgate, status, headers)).await.expect("it ends");
}

async fn paused(tollgate: &Tollgate, text: &str) -> bool {
    tollgate.usage(&key(text)).await.expect("it answers").expect("a limit").usage.paused_until.is_some()
}

pub(crate) async fn a_429_pauses_the_limits_of_its_provider_until_it_said(place: Place) {
    let tollgate = provider_limits(&place).await;
    call_answered(&tollgate, 429, &[("retry-after", "2")]).await;
    let refusal = tollgate.reserve(request_of_model()).await.expect_err("it is paused");
    assert_eq!(refusal.reason, Reason::LimitPaused(key("llm:anthropic:rpm")));
    let told_ms = refusal.retry_after_ms();
    assert!((2_000 - place.differs.answer_ms_max..=2_000).contains(&told_ms), "told to wait {told_ms} ms");
    assert!(!paused(&tollgate, "llm:anthropic:concurrency").await, "the host's own");
    assert!(!paused(&tollgate, "tenant:acme:daily").await, "other providers serve this tenant too");
    pass(2_000).await;
    drop(tollgate.reserve(request_of_model()).await.expect("the pause is over"));
}

pub(crate) async fn what_is_left_tightens_the_limit_of_that_dimension_until_the_reset(place: Place) {
    let tollgate = provider_limits(&place).await;
    let reset = rfc3339(tollgate.unix_ms() + 3_000);
    let left = |remaining| {
        [("anthropic-ratelimit-tokens-remaining", remaining), ("anthropic-ratelimit-tokens-reset", reset.as_str())]
    };
    call_answered(&tollgate, 200, &left("400")).await;
    assert_eq!(available(&tollgate, "llm:anthropic:tpm").await, 400);
    assert_eq!(available(&tollgate, "llm:anthropic:rpm").await, 99);
    assert_eq!(available(&tollgate, "tenant:acme:daily").await, 999);
    call_answered(&tollgate, 200, &left("100000")).await;
    assert_eq!(available(&tollgate, "llm:anthropic:tpm").await, 399, "more than ours loosens nothing");
    pass(3_100).await;
    assert_eq!(available(&tollgate, "llm:anthropic:tpm").await, 998);
}

pub(crate) async fn nonsense_changes_nothing_and_is_counted(place: Place) {
    let tollgate = provider_limits(&place).await;
    for wait in ["-7", "NaN", "1e9", "31536000", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"] {
        call_answered(&tollgate, 429, &[("retry-after", wait)]).await;
    }
    assert_eq!(tollgate.signals_ignored(), 6);
    drop(tollgate.reserve(request_of_model()).await.expect("nothing is paused"));
    call_answered(&tollgate, 429, &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]).await;
    drop(tollgate.reserve(request_of_model()).await.expect("a time that is past pauses nothing"));
}

pub(crate) async fn a_429_counts_for_no_breaker_and_gives_its_probe_back(place: Place) {
    let tollgate = start(&place).await;
    fail_until_open(&tollgate).await;
    pass(OPEN_MS).await;
    let probes = || tollgate.find_breaker(&name("upstream")).expect("it is known").view().probes;
    let lease = reserve(&tollgate).await;
    assert_eq!(probes(), 1);
    lease.finish(used(&[("tokens", 0)]), &answered(&tollgate, 429, &[])).await.expect("it ends");
    assert_eq!((probes(), state(&tollgate)), (0, BreakerState::HalfOpen));
    for _ in 0..2 {
        let lease = reserve(&tollgate).await;
        lease.finish(used(&[]), &CallReport::new(Outcome::success())).await.expect("it ends");
    }
    assert_eq!(state(&tollgate), BreakerState::Closed);
}

/// An instant as Anthropic writes it.
fn rfc3339(unix_ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).expect("of this age")).expect("of this age").to_string()
}
