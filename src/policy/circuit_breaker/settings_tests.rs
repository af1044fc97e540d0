//! What a person may write about a circuit breaker, and what is said about the rest.

use super::{BreakerFields, BreakerSettings};
use crate::policy::mistake::Mistake;

const WRONG: Option<u64> = Some(0);

fn none() -> BreakerFields {
    BreakerFields::default()
}

fn checked(fields: &BreakerFields) -> BreakerSettings {
    fields.check(&BreakerSettings::default()).expect("good settings")
}

fn problems(fields: &BreakerFields) -> Vec<String> {
    let mistakes = fields.check(&BreakerSettings::default()).expect_err("bad settings");
    mistakes.iter().map(Mistake::to_string).collect()
}

#[test]
fn what_is_not_named_is_inherited() {
    assert_eq!(checked(&none()), BreakerSettings::default());
    let defaults = checked(&BreakerFields { failure_threshold: Some(3), timeout_ms: Some(1_000), ..none() });
    let inherited = BreakerFields { success_threshold: Some(7), ..none() }.check(&defaults).expect("good settings");
    assert_eq!(inherited, BreakerSettings { success_threshold: 7, ..defaults });
}

#[test]
fn settings_are_written_as_they_are_read() {
    let default = serde_json::to_value(BreakerSettings::default()).expect("plain fields");
    let wanted = serde_json::json!({
        "failure_threshold": 5, "timeout_ms": 60_000, "timeout_ms_max": 600_000, "jitter_percent": 10,
        "half_open_max_probes": 2, "probe_timeout_ms": 60_000, "success_threshold": 2,
    });
    assert_eq!(default, wanted);
    let rates = BreakerFields {
        failure_rate_percent: Some(50),
        minimum_calls: Some(4),
        window_seconds: Some(30),
        slow_call_ms: Some(2_000),
        slow_call_rate_percent: Some(80),
        ..none()
    };
    let json = serde_json::to_string(&checked(&rates)).expect("plain fields");
    let read: BreakerFields = serde_json::from_str(&json).expect("the same fields");
    assert_eq!(checked(&read), checked(&rates));
    assert!(serde_json::from_str::<BreakerFields>(r#"{"treshold": 5}"#).is_err(), "no field is passed over");
}

#[test]
fn each_value_out_of_its_range_is_named() {
    let all_zero = BreakerFields {
        failure_threshold: WRONG,
        failure_rate_percent: WRONG,
        minimum_calls: WRONG,
        window_calls: WRONG,
        slow_call_ms: WRONG,
        slow_call_rate_percent: WRONG,
        timeout_ms: WRONG,
        timeout_ms_max: WRONG,
        half_open_max_probes: WRONG,
        probe_timeout_ms: WRONG,
        success_threshold: WRONG,
        ..none()
    };
    let wanted = [
        "`failure_threshold` is 0; use 1 to 10000",
        "`failure_rate_percent` is 0; use 1 to 100",
        "`minimum_calls` is 0; use 1 to 10000",
        "`window_calls` is 0; use 1 to 10000",
        "`slow_call_ms` is 0; use 1 to 86400000",
        "`slow_call_rate_percent` is 0; use 1 to 100",
        "`timeout_ms` is 0; use 1 to 86400000",
        "`timeout_ms_max` is 0; use 1 to 86400000",
        "`half_open_max_probes` is 0; use 1 to 1000",
        "`probe_timeout_ms` is 0; use 1 to 86400000",
        "`success_threshold` is 0; use 1 to 10000",
    ];
    assert_eq!(problems(&all_zero), wanted);
    let above = |fields: BreakerFields| problems(&fields).join(" | ");
    assert_eq!(
        above(BreakerFields { failure_rate_percent: Some(101), window_calls: Some(10_001), ..none() }),
        "`failure_rate_percent` is 101; use 1 to 100 | `window_calls` is 10001; use 1 to 10000"
    );
    assert_eq!(
        above(BreakerFields { failure_rate_percent: Some(50), window_seconds: Some(3_601), ..none() }),
        "`window_seconds` is 3601; use 1 to 3600"
    );
    let beyond = Some(u64::MAX);
    assert_eq!(
        above(BreakerFields { jitter_percent: beyond, ..none() }),
        format!("`jitter_percent` is {}; use 0 to 100", u64::MAX)
    );
    assert_eq!(
        above(BreakerFields { timeout_ms: Some(86_400_001), half_open_max_probes: Some(1_001), ..none() }),
        "`timeout_ms` is 86400001; use 1 to 86400000 | `half_open_max_probes` is 1001; use 1 to 1000"
    );
}

#[test]
fn the_longest_open_time_is_not_below_the_first() {
    let shrinking = BreakerFields { timeout_ms: Some(2_000), timeout_ms_max: Some(1_999), ..none() };
    let problem = "`timeout_ms_max` is 1999, less than `timeout_ms` = 2000; raise it, or lower `timeout_ms`";
    assert_eq!(problems(&shrinking), [problem]);
    let below_inherited = BreakerFields { timeout_ms_max: Some(59_999), ..none() };
    let problem = "`timeout_ms_max` is 59999, less than `timeout_ms` = 60000; raise it, or lower `timeout_ms`";
    assert_eq!(problems(&below_inherited), [problem]);
    let long = checked(&BreakerFields { timeout_ms: Some(3_600_000), ..none() });
    assert_eq!(long.timeout_max, long.timeout, "unless it is named, it makes room for a long first one");
}

#[test]
fn a_rate_needs_a_window_and_a_window_a_rate() {
    let rate = BreakerFields { failure_rate_percent: Some(50), ..none() };
    let hint = "add `window_calls` or `window_seconds`";
    assert_eq!(problems(&rate), [format!("`failure_rate_percent` has no window that it is taken over; {hint}")]);
    let slow = BreakerFields { slow_call_ms: Some(1), slow_call_rate_percent: Some(50), ..none() };
    assert_eq!(problems(&slow), [format!("`slow_call_rate_percent` has no window that it is taken over; {hint}")]);
    let window = BreakerFields { window_seconds: Some(60), minimum_calls: Some(1), ..none() };
    let hint = "add `failure_rate_percent` or `slow_call_rate_percent`, or remove it";
    let lacks_rate = |field| format!("`{field}` is for a rate, and there is none; {hint}");
    assert_eq!(problems(&window), [lacks_rate("window_seconds"), lacks_rate("minimum_calls")]);
    let both = BreakerFields { window_calls: Some(10), window_seconds: Some(60), ..rate.clone() };
    let hint = "keep one of the two: a window is of calls or of time";
    assert_eq!(problems(&both), [format!("`window_seconds` contradicts `window_calls`; {hint}")]);
    let with_rate = checked(&BreakerFields { window_calls: Some(100), ..rate });
    let other_window = BreakerFields { window_seconds: Some(60), ..none() }.check(&with_rate);
    assert!(other_window.is_ok_and(|settings| settings.window != with_rate.window), "the rate is inherited");
}

#[test]
fn no_rate_waits_for_more_calls_than_its_window_holds() {
    let never =
        BreakerFields { failure_rate_percent: Some(50), window_calls: Some(5), minimum_calls: Some(6), ..none() };
    let problem = "`minimum_calls` is 6, more than `window_calls` = 5 ever holds; lower it, or raise `window_calls`";
    assert_eq!(problems(&never), [problem]);
    let small = checked(&BreakerFields { minimum_calls: None, ..never });
    assert_eq!(small.minimum_calls, 5, "the default gives way to a small window");
}

#[test]
fn slow_calls_need_both_a_time_and_a_rate() {
    let time = BreakerFields { slow_call_ms: Some(1_000), ..none() };
    let hint = "add `slow_call_rate_percent`, or remove it";
    assert_eq!(problems(&time), [format!("`slow_call_ms` says what is slow, and not how much of it opens; {hint}")]);
    let rate = BreakerFields { slow_call_rate_percent: Some(50), window_calls: Some(10), ..none() };
    assert_eq!(
        problems(&rate),
        ["`slow_call_rate_percent` does not say what is slow; add `slow_call_ms`, or remove it"]
    );
    let both = BreakerFields { slow_call_ms: Some(1_000), ..rate };
    assert_eq!(checked(&both).failure_threshold, Some(5), "failures in a row still count");
}

#[test]
fn a_failure_rate_takes_the_place_of_the_default_threshold_and_stands_beside_a_named_one() {
    let rate = BreakerFields { failure_rate_percent: Some(50), window_calls: Some(10), ..none() };
    assert_eq!(checked(&rate).failure_threshold, None);
    let both = BreakerFields { failure_threshold: Some(3), ..rate };
    assert_eq!(checked(&both).failure_threshold, Some(3));
}
