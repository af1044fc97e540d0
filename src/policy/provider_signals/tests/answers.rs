//! What each provider's refusals mean.

use super::*;

fn openai(status: u16, headers: &[(&str, &str)], body: &str) -> SignalVerdict {
    verdict(Provider::OpenAi, status, headers, body)
}

fn openai_error(kind: &str, code: &str, message: &str) -> String {
    serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": code}}).to_string()
}

const TRY_AGAIN: &str = "Rate limit reached for gpt-4o in organization org-abc on tokens per min (TPM): Limit 30000, \
    Used 29400, Requested 1173. Please try again in 1.146s. Visit https://platform.openai.com/account/rate-limits to \
    learn more.";

#[test]
fn openai_states_a_wait_in_headers_or_in_a_sentence() {
    let tokens = openai_error("tokens", "rate_limit_exceeded", TRY_AGAIN);
    assert_eq!(openai(429, &[], &tokens), wait_ms(1_146, Dimension::Tokens));
    assert_eq!(openai(429, &[("Retry-After", "2")], &tokens), wait_ms(2_000, Dimension::Tokens));
    assert_eq!(
        openai(429, &[("retry-after", "2"), ("Retry-After-Ms", "1146")], &tokens),
        wait_ms(1_146, Dimension::Tokens)
    );
    assert_eq!(
        openai(429, &[("retry-after", "0"), ("retry-after-ms", "0")], &tokens),
        wait_ms(1_146, Dimension::Tokens),
        "a wait of zero lets the next speak"
    );
    let requests =
        openai_error("requests", "rate_limit_exceeded", "Limit 3, Used 3, Requested 1. Please try again in 6m0s.");
    assert_eq!(openai(429, &[], &requests), wait_ms(360_000, Dimension::Requests));
    let cut = &tokens[..tokens.len() - 60];
    assert_eq!(openai(429, &[], cut), wait_ms(1_146, Dimension::Any), "a body that was cut off has its sentence still");
}

#[test]
fn openai_resets_count_only_where_nothing_is_left() {
    let headers = [
        ("x-ratelimit-limit-requests", "500"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-requests", "499"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-requests", "120ms"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    assert_eq!(openai(429, &headers, ""), wait_ms(360_000, Dimension::Tokens));
    let body = openai_error("requests", "rate_limit_exceeded", "Slower, please.");
    assert_eq!(openai(429, &headers, &body), wait_ms(0, Dimension::Requests), "of requests there are some left");
    assert_eq!(openai(429, &headers[..4], ""), wait_ms(0, Dimension::Any));
    assert_eq!(openai(200, &headers, ""), SignalVerdict::None);
}

#[test]
fn openai_says_what_can_never_pass() {
    for (status, kind, code, expected) in [
        (429, "insufficient_quota", "insufficient_quota", "insufficient_quota"),
        (429, "insufficient_quota", "", "insufficient_quota"),
        (429, "requests", "project_spend_limit_exceeded", "spend_limit_exceeded"),
        (429, "x", "organization_spend_limit_exceeded", "spend_limit_exceeded"),
        (429, "x", "organization_usage_limit_exceeded", "organization_usage_limit_exceeded"),
        (400, "x", "organization_usage_limit_exceeded", "organization_usage_limit_exceeded"),
    ] {
        let body = openai_error(kind, code, "You exceeded your current quota. Please try again in 20s.");
        assert_eq!(openai(status, &[("retry-after", "20")], &body), never(expected), "{code}");
    }
    let too_large = "Request too large for gpt-4o in organization org-abc on tokens per min (TPM): Limit 30000, \
        Requested 34307. The input or output tokens must be reduced in order to run successfully.";
    let requested_more = "Limit 30000, Used 1000, Requested 30001. Please try again in 3s.";
    for message in [too_large, requested_more] {
        let body = openai_error("tokens", "rate_limit_exceeded", message);
        assert_eq!(openai(429, &[], &body), never("request_too_large"), "{message}");
    }
    let fits = openai_error("tokens", "rate_limit_exceeded", "Limit 30000, Used 29999, Requested 30000.");
    assert_eq!(openai(429, &[], &fits), wait_ms(0, Dimension::Tokens));
    assert_eq!(openai(400, &[], &openai_error("x", "y", too_large)), SignalVerdict::None, "no refusal by a limit");
}

#[test]
fn openai_overload_is_no_limit() {
    let overloaded = openai_error("server_error", "server_is_overloaded", "Our servers are overloaded.");
    assert_eq!(openai(503, &[], &overloaded), overload(None));
    assert_eq!(openai(503, &[("retry-after", "30")], &overloaded), overload(Some(30_000)));
    assert_eq!(openai(429, &[], &openai_error("requests", "slow_down", "Slow down.")), overload(None));
    assert_eq!(openai(503, &[], "<html>Service Unavailable</html>"), overload(None));
    assert_eq!(
        openai(500, &[], &openai_error("server_error", "", "Oops. Please try again in 20s.")),
        SignalVerdict::None
    );
    let event = format!("event: error\ndata: {overloaded}\n\n");
    assert_eq!(openai(200, &[], &event), overload(None));
    let limited = openai_error("tokens", "rate_limit_exceeded", TRY_AGAIN);
    assert_eq!(openai(200, &[], &limited), wait_ms(1_146, Dimension::Tokens));
    assert_eq!(openai(200, &[], r#"{"id":"x","error":null,"text":"Please try again in 20s"}"#), SignalVerdict::None);
}

fn anthropic(status: u16, headers: &[(&str, &str)], body: &str) -> SignalVerdict {
    verdict(Provider::Anthropic, status, headers, body)
}

fn anthropic_error(kind: &str, message: &str) -> String {
    serde_json::json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).to_string()
}

const ANTHROPIC_LEFT: [(&str, &str); 9] = [
    ("Anthropic-Ratelimit-Requests-Limit", "50"),
    ("Anthropic-Ratelimit-Requests-Remaining", "49"),
    ("Anthropic-Ratelimit-Requests-Reset", "2026-01-27T12:00:01Z"),
    ("anthropic-ratelimit-input-tokens-limit", "40000"),
    ("anthropic-ratelimit-input-tokens-remaining", "0"),
    ("anthropic-ratelimit-input-tokens-reset", "2026-01-27T12:00:33Z"),
    ("anthropic-ratelimit-tokens-limit", "48000"),
    ("anthropic-ratelimit-tokens-remaining", "8000"),
    ("anthropic-ratelimit-tokens-reset", "2026-01-27T12:00:40Z"),
];

#[test]
fn anthropic_states_a_wait_in_seconds_or_the_instant_of_a_reset() {
    let body = anthropic_error("rate_limit_error", "This request would exceed your organization's rate limit.");
    let with_wait = [&[("retry-after", "12")], &ANTHROPIC_LEFT[..]].concat();
    assert_eq!(anthropic(429, &with_wait, &body), wait_ms(12_000, Dimension::InputTokens));
    assert_eq!(anthropic(429, &ANTHROPIC_LEFT, &body), wait_ms(33_000, Dimension::InputTokens));
    let also_tokens = [
        &ANTHROPIC_LEFT[..6],
        &[("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", "2026-01-27T12:00:40Z")],
    ]
    .concat();
    assert_eq!(anthropic(429, &also_tokens, &body), wait_ms(40_000, Dimension::Tokens));
    assert_eq!(anthropic(429, &[], &body), wait_ms(0, Dimension::Any));
}

#[test]
fn anthropic_says_what_can_never_pass() {
    let enforced = r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your
        account's limit.","details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_1"}"#
        .replace('\n', " ");
    assert_eq!(anthropic(429, &[], &enforced), never("enforced_spend_limit_reached"));
    for (status, kind, message) in [
        (
            400,
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-02-01 at 00:00 UTC.",
        ),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        (
            429,
            "rate_limit_error",
            "This request would exceed your account's monthly spend limit. Please try again later.",
        ),
    ] {
        assert_eq!(anthropic(status, &[], &anthropic_error(kind, message)), never("spend_limit"), "{message}");
    }
    let ordinary = anthropic_error("invalid_request_error", "max_tokens: must be at least 1");
    assert_eq!(anthropic(400, &[], &ordinary), SignalVerdict::None);
}

#[test]
fn anthropic_overload_may_come_in_a_stream_that_began_well() {
    let overloaded = anthropic_error("overloaded_error", "Overloaded");
    assert_eq!(anthropic(529, &[], &overloaded), overload(None));
    assert_eq!(anthropic(529, &[("retry-after", "5")], ""), overload(Some(5_000)));
    assert_eq!(anthropic(200, &[], r#"{"type":"error","error":{"type":"overloaded_error"}}"#), overload(None));
    let stream = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\"}}\n\nevent: ping\ndata: {{\"type\": \"ping\"}}\n\n\
         event: error\ndata: {overloaded}\n\n"
    );
    assert_eq!(anthropic(200, &[], &stream), overload(None));
    let limited = anthropic_error("rate_limit_error", "Rate limited");
    assert_eq!(anthropic(200, &[], &limited), wait_ms(0, Dimension::Any));
    for (status, kind) in [(500, "api_error"), (504, "timeout_error")] {
        assert_eq!(anthropic(status, &[], &anthropic_error(kind, "Internal")), SignalVerdict::None);
    }
}

#[test]
fn an_upstream_that_fails_may_ask_to_stay_away() {
    for (provider, status) in [(Provider::OpenAi, 500), (Provider::Anthropic, 504), (Provider::Other, 408)] {
        assert_eq!(verdict(provider, status, &[("retry-after", "30")], ""), overload(Some(30_000)), "{status}");
        assert_eq!(verdict(provider, status, &[("retry-after", "0")], ""), SignalVerdict::None, "{status}");
    }
    assert_eq!(verdict(Provider::Other, 404, &[("retry-after", "30")], ""), SignalVerdict::None);
}

fn gemini(status: u16, body: &str) -> SignalVerdict {
    verdict(Provider::Gemini, status, &[], body)
}

fn gemini_error(status: &str, message: &str, quota_ids: &[&str], retry_delay: Option<&str>) -> String {
    let violations: Vec<_> =
        quota_ids.iter().map(|id| serde_json::json!({"quotaId": id, "quotaValue": "50"})).collect();
    let mut details = vec![
        serde_json::json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}),
        serde_json::json!({"@type": "type.googleapis.com/google.rpc.Help", "links": []}),
    ];
    let delay = retry_delay
        .map(|delay| serde_json::json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    details.extend(delay);
    serde_json::json!({"error": {"code": 429, "message": message, "status": status, "details": details}}).to_string()
}

const PER_MINUTE: &str = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
const INPUT_PER_MINUTE: &str = "GenerateContentInputTokensPerModelPerMinute-FreeTier";
const PER_DAY: &str = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";

#[test]
fn gemini_states_a_wait_in_details_or_in_a_sentence() {
    let exhausted = |ids: &[&str], delay| {
        let message = "You exceeded your current quota.\n* Quota exceeded for metric: x, limit: 5, model: gemini-2.5-pro\n\
            Please retry in 10h17m5.7s.";
        gemini(429, &gemini_error("RESOURCE_EXHAUSTED", message, ids, delay))
    };
    let from_details =
        SignalVerdict::Wait { after: Duration::from_nanos(57_238_747_106), dimension: Dimension::Requests };
    assert_eq!(exhausted(&[PER_MINUTE], Some("57.238747106s")), from_details);
    assert_eq!(exhausted(&[PER_MINUTE], None), wait_ms(37_025_700, Dimension::Requests));
    assert_eq!(exhausted(&[INPUT_PER_MINUTE], Some("3s")), wait_ms(3_000, Dimension::InputTokens));
    assert_eq!(exhausted(&[INPUT_PER_MINUTE, PER_MINUTE], Some("3s")), wait_ms(3_000, Dimension::Any));
    assert_eq!(exhausted(&["GenerateContentTokensPerMinute"], Some("3s")), wait_ms(3_000, Dimension::Tokens));
    assert_eq!(exhausted(&[], Some("3s")), wait_ms(3_000, Dimension::Any));
    let bare = r#"[{"error":{"code":429,"message":"Resource exhausted. Please try again later.","status":"RESOURCE_EXHAUSTED"}}]"#;
    assert_eq!(gemini(429, bare), wait_ms(0, Dimension::Any), "a list, as streams have it");
}

#[test]
fn gemini_quotas_of_a_day_are_back_at_midnight_in_california() {
    let midnight = NOW + 20 * 3_600_000;
    for ids in [&[PER_DAY][..], &[INPUT_PER_MINUTE, PER_MINUTE, PER_DAY]] {
        let body = gemini_error("RESOURCE_EXHAUSTED", "Please retry in 35s.", ids, Some("35s"));
        let expected = SignalVerdict::Until { unix_ms: midnight, dimension: Dimension::Requests };
        assert_eq!(gemini(429, &body), expected, "{ids:?}");
    }
}

#[test]
fn gemini_without_any_quota_never_passes() {
    let body = |limit| {
        let message = format!(
            "* Quota exceeded for metric: free_tier_requests, limit: {limit}, model: gemini-3-pro\nPlease retry in 45.5s."
        );
        gemini_error("RESOURCE_EXHAUSTED", &message, &[PER_DAY], Some("45s"))
    };
    assert_eq!(gemini(429, &body("0")), never("no_quota"));
    for limit in ["05", "50", "0.5", "none"] {
        assert_ne!(gemini(429, &body(limit)), never("no_quota"), "{limit}");
    }
}

#[test]
fn gemini_overload_is_told_by_its_status_or_its_reason() {
    let unavailable =
        r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#;
    assert_eq!(gemini(503, unavailable), overload(None));
    assert_eq!(gemini(200, &format!("data: {unavailable}\n\n")), overload(None));
    let no_capacity = r#"{"error":{"code":429,"message":"No capacity available","status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MODEL_CAPACITY_EXHAUSTED","domain":"x"},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7s"}]}}"#;
    assert_eq!(gemini(429, no_capacity), overload(Some(7_000)));
    assert_eq!(
        gemini(400, r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"limit: 0"}}"#),
        SignalVerdict::None
    );
}

fn azure(status: u16, headers: &[(&str, &str)], body: &str) -> SignalVerdict {
    verdict(Provider::AzureOpenAi, status, headers, body)
}

#[test]
fn azure_states_a_wait_in_milliseconds_seconds_or_a_sentence() {
    let body = r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 45 seconds. Please go here: https://aka.ms/oai/quotaincrease"}}"#;
    assert_eq!(azure(429, &[], body), wait_ms(45_000, Dimension::Any));
    assert_eq!(azure(429, &[("retry-after", "7"), ("retry-after-ms", "6512")], body), wait_ms(6_512, Dimension::Any));
    assert_eq!(
        azure(429, &[("retry-after", "7"), ("x-ms-retry-after-ms", "6600")], body),
        wait_ms(6_600, Dimension::Any)
    );
    assert_eq!(
        azure(429, &[("x-ms-retry-after-ms", "6600"), ("retry-after-ms", "6512")], ""),
        wait_ms(6_512, Dimension::Any)
    );
    let used_up = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "55")];
    assert_eq!(azure(429, &used_up, ""), wait_ms(55_000, Dimension::Tokens));
    let gateway = r#"{ "statusCode": 429, "message": "Rate limit is exceeded. Try again in 12 seconds." }"#;
    assert_eq!(azure(429, &[], gateway), wait_ms(12_000, Dimension::Any));
}

#[test]
fn azure_quotas_are_refused_with_403() {
    let body = r#"{ "statusCode": 403, "message": "Out of call volume quota." }"#;
    assert_eq!(azure(403, &[("Retry-After", "3600")], body), wait_ms(3_600_000, Dimension::Any));
    assert_eq!(azure(403, &[], body), never("quota_exceeded"));
    assert_eq!(azure(403, &[], r#"{"error":{"code":"403","message":"Forbidden"}}"#), SignalVerdict::None);
}

fn other(status: u16, headers: &[(&str, &str)], body: &str) -> SignalVerdict {
    verdict(Provider::Other, status, headers, body)
}

#[test]
fn any_provider_may_use_the_standard_headers() {
    assert_eq!(other(429, &[("Retry-After", "30")], ""), wait_ms(30_000, Dimension::Any));
    let until = SignalVerdict::Until { unix_ms: NOW + 60_000, dimension: Dimension::Any };
    assert_eq!(other(429, &[("Retry-After", "Tue, 27 Jan 2026 12:01:00 GMT")], ""), until);
    assert_eq!(other(429, &[("Retry-After", "Tue, 27 Jan 2026 11:59:00 GMT")], ""), wait_ms(0, Dimension::Any));
    assert_eq!(other(429, &[("RateLimit", "\"default\";r=0;t=30")], ""), wait_ms(30_000, Dimension::Requests));
    assert_eq!(
        other(429, &[("RateLimit", "\"default\";r=0;t=30"), ("Retry-After", "40")], ""),
        wait_ms(40_000, Dimension::Requests)
    );
    assert_eq!(other(503, &[("Retry-After", "30")], ""), overload(Some(30_000)));
    assert_eq!(other(200, &[("Retry-After", "30")], ""), SignalVerdict::None);
    assert_eq!(other(429, &[], "Please try again in 5s"), wait_ms(0, Dimension::Any), "sentences are not standard");
}

#[test]
fn problem_types_tell_overload_from_a_quota() {
    let problem = |name| format!(r#"{{"type":"https://iana.org/assignments/http-problem-types#{name}","title":"x"}}"#);
    let headers = [("Retry-After", "9")];
    assert_eq!(other(503, &headers, &problem("temporary-reduced-capacity")), overload(Some(9_000)));
    assert_eq!(other(429, &headers, &problem("temporary-reduced-capacity")), overload(Some(9_000)));
    assert_eq!(other(429, &headers, &problem("quota-exceeded")), wait_ms(9_000, Dimension::Any));
    assert_eq!(other(429, &headers, &problem("abnormal-usage-detected")), wait_ms(9_000, Dimension::Any));
    assert_eq!(other(200, &headers, &problem("temporary-reduced-capacity")), SignalVerdict::None);
}

#[test]
fn providers_have_names() {
    for provider in [Provider::OpenAi, Provider::Anthropic, Provider::Gemini, Provider::AzureOpenAi] {
        assert_eq!(Provider::parse(provider.name()), provider);
    }
    for name in ["mistral", "other", "", "OpenAI"] {
        assert_eq!(Provider::parse(name), Provider::Other, "{name}");
    }
}
