//! Gemini: no headers, but `google.rpc` details in the body of an error, and sentences.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Dimension;
use super::body::Body;
use super::formats::{self, When};
use super::message;
use super::verdict::{Finding, Said};

/// California's time, by the rule that has held since 2007: 8 hours behind, 7 from the second Sunday of March to the
/// first of November.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

pub(super) fn judge(body: &Body<'_>, now_unix_ms: u64, said: &mut Said) {
    // In a stream that began with a 200 the status stands only here.
    said.finding = match body.text_at(&["error", "status"]) {
        "RESOURCE_EXHAUSTED" => Finding::Limited,
        "UNAVAILABLE" => Finding::Overloaded,
        _ => said.finding,
    };
    if said.finding == Finding::Limited && message::numbers_behind(body.message(), "limit:").any(|limit| limit == 0) {
        said.finding = Finding::Never("no_quota");
    }
    if said.is_refusal() && detail(body, "ErrorInfo", "reason").any(|reason| *reason == "MODEL_CAPACITY_EXHAUSTED") {
        said.finding = Finding::Overloaded;
    }
    if !said.is_refusal() {
        return;
    }
    let ids: Vec<&str> = violated_ids(body).collect();
    let is_per_day = |id: &&str| id.contains("PerDay");
    // The day's quota is back later than any other, and what `RetryInfo` says beside it is too short.
    if ids.iter().any(is_per_day) {
        said.dimension = ids.iter().copied().filter(is_per_day).map(dimension_of).reduce(Dimension::joined);
        said.wait = next_midnight(now_unix_ms).map(When::At);
        return;
    }
    said.dimension = ids.into_iter().map(dimension_of).reduce(Dimension::joined);
    let delays = detail(body, "RetryInfo", "retryDelay");
    let delay = delays.map(|delay| formats::when(delay.as_str()?, now_unix_ms)).next();
    said.take_wait(delay.map(|delay| delay.map(|when| when.after(now_unix_ms)).ok_or(())));
    said.read_message_wait(body);
}

/// A field of each detail of a type.
fn detail<'a>(body: &'a Body<'_>, kind: &'a str, field: &'a str) -> impl Iterator<Item = &'a Value> {
    let is_kind = move |detail: &&Value| {
        let name = detail.get("@type").and_then(Value::as_str).unwrap_or_default();
        name.rsplit(['.', '/']).next() == Some(kind)
    };
    body.details().iter().filter(is_kind).filter_map(move |detail| detail.get(field))
}

/// Which quotas are used up, such as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
fn violated_ids<'a>(body: &'a Body<'_>) -> impl Iterator<Item = &'a str> {
    let violations = detail(body, "QuotaFailure", "violations").filter_map(Value::as_array).flatten();
    violations.filter_map(|violation| violation.get("quotaId")?.as_str())
}

fn dimension_of(quota_id: &str) -> Dimension {
    let has = |word| quota_id.contains(word);
    match () {
        () if has("InputToken") => Dimension::InputTokens,
        () if has("OutputToken") => Dimension::OutputTokens,
        () if has("Token") => Dimension::Tokens,
        () if has("Request") => Dimension::Requests,
        () => Dimension::Any,
    }
}

/// When the next day begins in California. `None` at the end of time.
fn next_midnight(now_unix_ms: u64) -> Option<u64> {
    let now = Timestamp::from_millisecond(i64::try_from(now_unix_ms).ok()?).ok()?;
    let pacific = TimeZone::posix(PACIFIC).expect("a rule of POSIX");
    let midnight = now.to_zoned(pacific).tomorrow().ok()?.start_of_day().ok()?;
    u64::try_from(midnight.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_ends_at_midnight_in_california() {
        let unix_ms = |text: &str| u64::try_from(text.parse::<Timestamp>().expect("an instant").as_millisecond()).ok();
        for (now, midnight) in [
            ("2026-01-27T12:00:00Z", "2026-01-28T08:00:00Z"),
            ("2026-01-28T07:59:59.999Z", "2026-01-28T08:00:00Z"),
            ("2026-01-28T08:00:00Z", "2026-01-29T08:00:00Z"),
            ("2026-07-01T12:00:00Z", "2026-07-02T07:00:00Z"),
            // The clocks go forward on the second Sunday of March: that day has 23 hours.
            ("2026-03-08T07:59:00Z", "2026-03-08T08:00:00Z"),
            ("2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"),
            ("2026-03-08T12:00:00Z", "2026-03-09T07:00:00Z"),
            // And back on the first Sunday of November: that day has 25.
            ("2026-11-01T06:59:59Z", "2026-11-01T07:00:00Z"),
            ("2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            ("2026-11-01T09:30:00Z", "2026-11-02T08:00:00Z"),
            ("2027-03-14T09:00:00Z", "2027-03-15T07:00:00Z"),
            ("2028-02-29T09:00:00Z", "2028-03-01T08:00:00Z"),
            ("2026-12-31T20:00:00Z", "2027-01-01T08:00:00Z"),
        ] {
            assert_eq!(next_midnight(unix_ms(now).expect("after 1970")), unix_ms(midnight), "{now}");
        }
        for far in [u64::MAX, 253_402_207_200_000, i64::MAX as u64] {
            assert_eq!(next_midnight(far), None);
        }
    }
}
