//! What the host tells Tollgate of the provider: its true limits, but for a smaller burst, and a circuit breaker.
//!
//! Both sides refill at the same rate, so that in the long run nothing is given away. The burst is smaller because the
//! books charge a call when it leaves and the provider when it arrives: calls that travel for different times come
//! closer together than they were sent. If they bunch after a quiet time, when the provider's bucket is full and could
//! take in no more while they travelled, it sees what refills in that time on top of the host's burst.

use std::time::Duration;

use tollgate::policy::{BreakerFields, BreakerName, BreakerSettings, DefinitionFields, Key};

use super::scenario::Scenario;

pub(crate) const REQUESTS: &str = "anthropic:claude-sonnet:rpm";
pub(crate) const TOKENS: &str = "anthropic:claude-sonnet:tpm";
pub(crate) const AT_ONCE: &str = "anthropic:claude-sonnet:concurrency";
/// What the host itself wants to know: the tokens of the day. No provider has a say in it.
pub(crate) const DAY: &str = "agents:tokens_of_the_day";

pub(crate) const FAILURE_THRESHOLD: u64 = 5;
pub(crate) const PROBES_AT_ONCE: u64 = 2;
pub(crate) const SUCCESS_THRESHOLD: u64 = 2;

/// What refills in this time the burst is smaller by: calls are under way for less, also on a slow machine. Without it
/// a run shows a 429 now and then.
const TRAVEL_TIME_MAX: Duration = Duration::from_millis(400);

pub(crate) fn definitions(scenario: &Scenario) -> [DefinitionFields; 4] {
    let at_once =
        DefinitionFields { timeout_seconds: Some(60), ..limit(AT_ONCE, "concurrency", scenario.calls_at_once) };
    let day = DefinitionFields { window_seconds: Some(86_400), ..limit(DAY, "rolling", 1 << 50) };
    [
        bucket(REQUESTS, "requests", scenario.requests_per_minute, scenario.minute),
        bucket(TOKENS, "tokens", scenario.tokens_per_minute, scenario.minute),
        at_once,
        day,
    ]
}

fn bucket(key: &str, unit: &str, per_minute: u64, minute: Duration) -> DefinitionFields {
    let minute_ms = u64::try_from(minute.as_millis()).expect("a short minute");
    let margin = per_minute * TRAVEL_TIME_MAX.as_millis() as u64 / minute_ms;
    DefinitionFields {
        unit: Some(unit.to_owned()),
        // The rate in whole numbers, whatever part of a second the minute ends at.
        refill_amount: Some(per_minute * 1_000),
        refill_seconds: Some(minute_ms),
        ..limit(key, "token_bucket", per_minute.saturating_sub(margin))
    }
}

fn limit(key: &str, kind: &str, capacity: u64) -> DefinitionFields {
    DefinitionFields { key: key.to_owned(), kind: kind.to_owned(), capacity, ..DefinitionFields::default() }
}

pub(crate) fn breaker_name() -> BreakerName {
    BreakerName::parse("anthropic:claude-sonnet").expect("a good name")
}

/// With real minutes the defaults would do, which are ten times as long.
pub(crate) fn breaker(scenario: &Scenario) -> BreakerSettings {
    let part_ms = |parts| u64::try_from(scenario.minute.as_millis() / parts).ok();
    let fields = BreakerFields {
        failure_threshold: Some(FAILURE_THRESHOLD),
        timeout_ms: part_ms(12),
        timeout_ms_max: part_ms(6),
        half_open_max_probes: Some(PROBES_AT_ONCE),
        success_threshold: Some(SUCCESS_THRESHOLD),
        ..BreakerFields::default()
    };
    fields.check(&BreakerSettings::default()).expect("good settings")
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}
