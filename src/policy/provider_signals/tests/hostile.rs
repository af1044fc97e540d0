//! Answers that make no sense, are huge, or lie.

use proptest::prelude::*;

use super::*;

const PROVIDERS: [Provider; 5] =
    [Provider::OpenAi, Provider::Anthropic, Provider::Gemini, Provider::AzureOpenAi, Provider::Other];

#[test]
fn a_wait_of_nonsense_is_counted_and_changes_nothing() {
    let long = "1".repeat(10 << 20);
    for value in [
        "-1",
        "NaN",
        "inf",
        "1e9",
        "",
        "soon",
        "604801",
        "99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "9999-12-31T23:59:59Z",
        "18446744073709551615",
        long.as_str(),
    ] {
        for provider in PROVIDERS {
            let signals = read(provider, 429, &[("retry-after", value)], "");
            let nothing = Signals { verdict: wait_ms(0, Dimension::Any), remaining: vec![], ignored: 1 };
            assert_eq!(signals, nothing, "{provider:?} {:.40}", value);
            let next = read(provider, 429, &[("retry-after-ms", value), ("retry-after", "3")], "");
            assert_eq!(
                next.verdict,
                if value == "604801" { wait_ms(604_801, Dimension::Any) } else { wait_ms(3_000, Dimension::Any) }
            );
        }
    }
}

#[test]
fn a_reset_of_nonsense_takes_what_is_left_with_it() {
    for (remaining, reset, ignored) in
        [("5", "-1s", 1), ("5", "year", 1), ("-5", "1s", 1), ("5.5", "1s", 1), ("x", "y", 2)]
    {
        let headers = [("x-ratelimit-remaining-tokens", remaining), ("x-ratelimit-reset-tokens", reset)];
        let signals = read(Provider::OpenAi, 429, &headers, "");
        assert_eq!((signals.remaining.len(), signals.ignored), (0, ignored), "{remaining} {reset}");
        assert_eq!(signals.verdict, wait_ms(0, Dimension::Any));
    }
    let bad = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"-5s"}]}}"#;
    let signals = read(Provider::Gemini, 429, &[], bad);
    assert_eq!((signals.verdict, signals.ignored), (wait_ms(0, Dimension::Any), 1));
    let number = bad.replace("\"-5s\"", "{\"seconds\": 5}");
    assert_eq!(read(Provider::Gemini, 429, &[], &number).ignored, 1);
}

#[test]
fn only_so_many_headers_are_read() {
    let mut headers = vec![("x-other", "1"); 1_000];
    headers.extend([("x-ratelimit-limit-images", "-1"); HEADERS_MAX - 1]);
    headers.push(("retry-after", "5"));
    headers.push(("retry-after-ms", "7"));
    assert_eq!(read(Provider::OpenAi, 429, &headers, "").verdict, wait_ms(5_000, Dimension::Any));
}

#[test]
fn only_the_start_of_a_body_is_read() {
    let sentence = "Please try again in 5s.";
    let padded = |bytes: usize| format!("{}{sentence}", " ".repeat(bytes));
    let fits = BODY_BYTES_MAX - sentence.len();
    assert_eq!(read(Provider::OpenAi, 429, &[], &padded(fits)).verdict, wait_ms(5_000, Dimension::Any));
    assert_eq!(read(Provider::OpenAi, 429, &[], &padded(fits + 10)).verdict, wait_ms(0, Dimension::Any));
    let cut_in_json = format!(
        r#"{{"error":{{"type":"tokens","message":"Please try again in 5s.","more":"{}"}}}}"#,
        "x".repeat(10 << 20)
    );
    assert_eq!(read(Provider::OpenAi, 429, &[], &cut_in_json).verdict, wait_ms(5_000, Dimension::Any));
    for deep in ["[".repeat(10 << 20), "{\"error\":".repeat(1 << 20)] {
        assert_eq!(read(Provider::Gemini, 429, &[], &deep).verdict, wait_ms(0, Dimension::Any));
    }
}

/// Names and values that get past the first looks, beside any others.
fn header() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("retry-after".to_owned()),
        Just("Retry-After-Ms".to_owned()),
        Just("x-ms-retry-after-ms".to_owned()),
        Just("RateLimit".to_owned()),
        Just("RateLimit-Policy".to_owned()),
        "(x-)?ratelimit-(limit|remaining|reset)",
        "x-ratelimit-(limit|remaining|reset)-(requests|tokens)",
        "anthropic-ratelimit-(requests|tokens|input-tokens)-(limit|remaining|reset)",
        any::<String>(),
    ];
    let value = prop_oneof![
        any::<String>(),
        "[-+0-9.hmsµun]{0,40}",
        "[0-9]{1,3}\\.[0-9µ]{0,80}",
        "[0-9]{1,25}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})",
        "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        "(\"[a-z\\\\\"]{0,5}\"(;[rtq]=[0-9-]{1,22}){0,3},?){0,4}",
    ];
    (name, value)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        any::<String>(),
        "(data: |event: |\\{\"error\":|\\[)?.{0,80}",
        "(Please (try again|retry) (in|after) [0-9.hms -]{0,20}|Limit [0-9,]{0,25}|Requested [0-9]{0,25}|limit: [0-9.]{0,5}){0,3}",
    ];
    let error = ("[a-zA-Z_]{0,30}", any::<String>(), "[0-9.-]{0,25}s").prop_map(|(word, message, delay)| {
        let details = serde_json::json!([
            {"@type": "google.rpc.RetryInfo", "retryDelay": delay},
            {"@type": "google.rpc.QuotaFailure", "violations": [{"quotaId": word}, 7]},
        ]);
        let error = serde_json::json!({"type": word, "code": word, "message": message, "details": details});
        serde_json::json!({"error": error}).to_string().into_bytes()
    });
    prop_oneof![any::<Vec<u8>>(), text.prop_map(String::into_bytes), error]
}

proptest! {
    #[test]
    fn no_answer_panics_or_waits_for_ever(
        provider in prop::sample::select(PROVIDERS.to_vec()),
        status in prop_oneof![Just(429_u16), Just(200), Just(503), Just(403), any::<u16>()],
        headers in prop::collection::vec(header(), 0..12),
        body in body(),
        now_unix_ms in prop_oneof![Just(NOW), Just(0), Just(u64::MAX), any::<u64>()],
    ) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let signals = read_signals(provider, &ProviderResponse { status, headers: &headers, body: &body }, now_unix_ms);
        let wait = signals.retry_after(now_unix_ms);
        prop_assert!(wait.is_none_or(|wait| wait <= SIGNAL_WAIT_MAX), "{wait:?}");
        prop_assert!(signals.remaining.iter().all(|left| left.resets_after <= SIGNAL_WAIT_MAX));
        prop_assert!(signals.remaining.iter().all(|left| left.dimension != Dimension::Any));
        prop_assert!(status != 429 || signals.verdict != SignalVerdict::None);
        if let SignalVerdict::Until { unix_ms, .. } = signals.verdict {
            prop_assert!(now_unix_ms < unix_ms);
        }
        for restraint in signals.restraints(crate::policy::Moment::from_nanos(u64::MAX - 5), now_unix_ms) {
            prop_assert!(restraint.restraint.until() >= crate::policy::Moment::from_nanos(u64::MAX - 5));
        }
    }

    #[test]
    fn a_wait_that_is_stated_is_the_wait(
        seconds in 1_u64..=604_800,
        provider in prop::sample::select(PROVIDERS.to_vec()),
    ) {
        let value = seconds.to_string();
        prop_assert_eq!(
            read(provider, 429, &[("retry-after", &value)], "").verdict,
            wait_ms(seconds * 1_000, Dimension::Any)
        );
    }
}
