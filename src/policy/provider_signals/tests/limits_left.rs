//! What the headers say is left.

use super::*;

/// Dimension, what is left, and milliseconds until the reset.
type Left = (Dimension, u64, u64);

fn left(provider: Provider, headers: &[(&str, &str)]) -> (Vec<Left>, u32) {
    let signals = read(provider, 200, headers, "");
    assert_eq!(signals.verdict, SignalVerdict::None);
    let plain = |left: &Remaining| {
        (left.dimension, left.remaining, u64::try_from(left.resets_after.as_millis()).expect("a bounded time"))
    };
    (signals.remaining.iter().map(plain).collect(), signals.ignored)
}

#[test]
fn openai_and_azure_count_requests_and_tokens() {
    let headers = [
        ("X-RateLimit-Limit-Requests", "500"),
        ("x-ratelimit-remaining-requests", "499"),
        ("x-ratelimit-reset-requests", "120ms"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "29000"),
        ("x-ratelimit-reset-tokens", "1m2.5s"),
    ];
    let expected = vec![(Dimension::Requests, 499, 120), (Dimension::Tokens, 29_000, 62_500)];
    assert_eq!(left(Provider::OpenAi, &headers), (expected, 0));
    let seconds = [("x-ratelimit-remaining-tokens", "12"), ("x-ratelimit-reset-tokens", "55")];
    assert_eq!(left(Provider::AzureOpenAi, &seconds), (vec![(Dimension::Tokens, 12, 55_000)], 0));
}

#[test]
fn azure_states_limits_that_are_none() {
    let minus_one = [
        ("x-ratelimit-limit-tokens", "-1"),
        ("x-ratelimit-remaining-tokens", "-1"),
        ("x-ratelimit-reset-tokens", "0"),
        ("x-ratelimit-limit-requests", "0"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "0"),
    ];
    assert_eq!(left(Provider::AzureOpenAi, &minus_one), (vec![], 2));
    assert_eq!(read(Provider::AzureOpenAi, 429, &minus_one, "").verdict, wait_ms(0, Dimension::Any));
    assert_eq!(left(Provider::AzureOpenAi, &minus_one[1..3]), (vec![], 1));
}

#[test]
fn anthropic_counts_in_four_ways() {
    let names =
        ["requests", "tokens", "input-tokens", "output-tokens"].map(|name| format!("anthropic-ratelimit-{name}"));
    let fields: Vec<(String, &str)> = names
        .iter()
        .flat_map(|name| {
            [("limit", "50"), ("remaining", "7"), ("reset", "2026-01-27T12:00:01.5Z")]
                .map(|(end, value)| (format!("{name}-{end}"), value))
        })
        .collect();
    let headers: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let expected = [Dimension::Requests, Dimension::Tokens, Dimension::InputTokens, Dimension::OutputTokens];
    assert_eq!(left(Provider::Anthropic, &headers), (expected.map(|dimension| (dimension, 7, 1_500)).to_vec(), 0));
    let priority = [
        ("anthropic-priority-input-tokens-limit", "10000"),
        ("anthropic-priority-input-tokens-remaining", "0"),
        ("anthropic-priority-input-tokens-reset", "2026-01-27T12:01:00Z"),
    ];
    assert_eq!(left(Provider::Anthropic, &priority), (vec![], 0), "the standard tier goes on");
}

#[test]
fn gemini_has_no_headers() {
    let headers = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1s")];
    assert_eq!(left(Provider::Gemini, &headers), (vec![], 0));
}

#[test]
fn others_are_read_by_the_first_standard_they_keep() {
    let generic = |headers: &[(&str, &str)]| left(Provider::Other, headers);
    let draft_03 = [("RateLimit-Limit", "100, 100;w=60"), ("RateLimit-Remaining", "40"), ("RateLimit-Reset", "30")];
    assert_eq!(generic(&draft_03), (vec![(Dimension::Requests, 40, 30_000)], 0));
    let plain = [("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "5"), ("X-RateLimit-Reset", "1769515205")];
    assert_eq!(generic(&plain), (vec![(Dimension::Requests, 5, 5_000)], 0), "a time since 1970");
    assert_eq!(generic(&[draft_03, plain].concat()), (vec![(Dimension::Requests, 40, 30_000)], 0));
    let by_dimension = [("x-ratelimit-remaining-tokens", "9"), ("x-ratelimit-reset-tokens", "7.66s")];
    assert_eq!(generic(&by_dimension), (vec![(Dimension::Tokens, 9, 7_660)], 0));
    let draft_10 = [("RateLimit", "\"burst\";r=3;t=5, \"day\";r=900;t=86000")];
    let expected = vec![(Dimension::Requests, 3, 5_000), (Dimension::Requests, 900, 86_000_000)];
    assert_eq!(generic(&[&draft_10[..], &plain].concat()), (expected, 0));
}

#[test]
fn what_is_not_said_is_not_made_up() {
    let both = [("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset-requests", "1s")];
    assert_eq!(left(Provider::OpenAi, &both).0.len(), 1);
    assert_eq!(left(Provider::OpenAi, &both[..1]), (vec![], 0));
    assert_eq!(left(Provider::OpenAi, &both[1..]), (vec![], 0));
    let on_errors = read(Provider::OpenAi, 500, &both, "").remaining;
    assert_eq!(on_errors.len(), 1, "whatever the status is");
}
