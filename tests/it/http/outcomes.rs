//! What clients tell of their calls, and of breakers with odd names.

use serde_json::{Value, json};
use tollgate::Tollgate;
use tollgate::api::ServeOptions;
use tollgate::config::Settings;
use tollgate::policy::{BreakerFields, BreakerSettings};

use super::server::{Server, lease_id, rolling};

/// A server over `rpm` whose breakers open at the first failure, for ten seconds.
async fn start() -> Server {
    let fields = BreakerFields {
        failure_threshold: Some(1),
        timeout_ms: Some(10_000),
        jitter_percent: Some(0),
        ..BreakerFields::default()
    };
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    let limit = serde_json::from_value(rolling("rpm", 100)).expect("a limit");
    let builder = Tollgate::builder().settings(Settings { breaker_defaults: settings, ..Settings::default() });
    let builder = builder.limit_fields(limit);
    Server::of(builder.start().await.expect("starts"), ServeOptions::default()).await
}

/// Reserves through `breaker`, and completes with `outcome`.
async fn call(server: &Server, breaker: &str, outcome: &Value) {
    let lease_id = lease_id();
    let requirements = json!([{"key": "rpm", "amount": 1}]);
    let reserve = json!({"lease_id": lease_id, "requirements": requirements, "breaker": breaker});
    assert_eq!(server.post("/v1/reserve", &reserve).await.done()["allowed"], true);
    let complete = json!({"lease_id": lease_id, "outcome": outcome});
    assert_eq!(server.post("/v1/complete", &complete).await.done(), json!({"ok": true, "error": ""}));
}

#[tokio::test]
async fn a_wait_that_a_client_tells_keeps_the_breaker_open_whatever_failed() {
    let server = start().await;
    let told = [
        ("failed", json!({"status": 500, "retry_after_ms": 90_000})),
        ("header", json!({"status": 502, "headers": {"Retry-After": "90"}})),
        ("overloaded", json!({"status": 503, "retry_after_ms": 90_000})),
        ("cut", json!({"status": 200, "error": "stream_cut", "retry_after_ms": 90_000})),
        ("unreached", json!({"error": "connect", "retry_after_ms": 90_000})),
    ];
    for (breaker, outcome) in told {
        call(&server, breaker, &outcome).await;
        let view = server.get(&format!("/v1/breakers/{breaker}")).await.done();
        let wait_ms = view["retry_after_ms"].as_u64().expect("milliseconds");
        assert!((60_000..=90_000).contains(&wait_ms), "{view}");
    }
    let absurd = json!({"error": "timeout", "latency_ms": u64::MAX, "retry_after_ms": u64::MAX});
    call(&server, "absurd", &absurd).await;
    let view = server.get("/v1/breakers/absurd").await.done();
    assert!(view["retry_after_ms"].as_u64().is_some_and(|wait_ms| wait_ms <= 10_000), "{view}");
    server.stop().await;
}

#[tokio::test]
async fn a_wait_that_a_client_tells_is_heard_among_any_number_of_headers() {
    let server = start().await;
    let headers: serde_json::Map<_, _> = (0..200).map(|n| (format!("RateLimit-{n}"), json!("1"))).collect();
    call(&server, "up", &json!({"status": 429, "headers": headers, "retry_after_ms": 60_000})).await;
    let usage = server.get("/v1/limits/rpm").await.done();
    assert!(usage["paused_until"].is_u64(), "{usage}");
    server.stop().await;
}

#[tokio::test]
async fn no_header_makes_a_request_fail() {
    let server = start().await;
    let decimals = format!("1.12345678é{}", "0".repeat(200));
    let body = json!({"error": {"status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "google.rpc.RetryInfo", "retryDelay": decimals}]}});
    for name in ["retry-after", "Retry-After-Ms", "x-ratelimit-reset-tokens", "ratelimit", ""] {
        for provider in ["openai", "gemini", "other"] {
            let headers = json!({(name): decimals, "x-ratelimit-remaining-tokens": "0"});
            let outcome = json!({"status": 429, "provider": provider, "headers": headers, "body": body.to_string()});
            call(&server, "up", &outcome).await;
        }
    }
    assert_eq!(server.get("/v1/limits/rpm").await.done()["paused_until"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn any_name_of_a_breaker_can_be_written_in_a_path() {
    let server = start().await;
    for (path, name) in [("a%2Fenter", "a/enter"), ("a:b@c+d", "a:b@c+d"), ("%61", "a"), ("..%2F..", "../..")] {
        server.post(&format!("/v1/breakers/{path}/enter"), &json!({})).await.done();
        assert_eq!(server.get(&format!("/v1/breakers/{path}")).await.done()["name"], name);
    }
    let longest = "n".repeat(256);
    server.post(&format!("/v1/breakers/{longest}/enter"), &json!({})).await.done();
    for (path, told) in [
        (format!("{longest}n"), "`name` is 257 bytes long; use at most 256 bytes"),
        ("a%00b".into(), "`name` has `\\0` at byte 1; use only letters, digits and `.` `_` `:` `/` `@` `+` `-`"),
        ("%C3%BC".into(), "`name` has `ü` at byte 0; use only letters, digits and `.` `_` `:` `/` `@` `+` `-`"),
        ("%FF".into(), "`name` is no UTF-8; write every byte that is not plain as `%` and two digits"),
    ] {
        for route in [format!("/v1/breakers/{path}"), format!("/v1/breakers/{path}/")] {
            let answer = server.get(route.trim_end_matches('/')).await;
            assert_eq!(answer.problem(400), ("invalid_request".to_owned(), told.to_owned()), "{path}");
        }
        let (code, detail) = server.post(&format!("/v1/breakers/{path}/enter"), &json!({})).await.problem(400);
        assert_eq!((code.as_str(), detail.as_str()), ("invalid_request", told));
    }
    assert_eq!(server.get("/v1/breakers").await.done()["breakers"].as_array().map(Vec::len), Some(5));
    server.stop().await;
}

#[tokio::test]
async fn an_outcome_of_no_lease_changes_nothing() {
    let server = start().await;
    let lease_id = lease_id();
    for outcome in [json!({"status": 429, "retry_after_ms": 60_000}), json!({"status": 500}), json!({"status": 200})] {
        let complete = json!({"lease_id": lease_id, "outcome": outcome});
        assert_eq!(server.post("/v1/complete", &complete).await.done(), json!({"ok": true, "error": ""}));
    }
    for status in [json!(0), json!(99), json!(600), json!(999), json!(-1), json!(65_536), json!(200.5), json!("200")] {
        let complete = json!({"lease_id": lease_id, "outcome": {"status": status}});
        let (code, detail) = server.post("/v1/complete", &complete).await.problem(400);
        assert!(code == "invalid_request" && detail.starts_with("`outcome.status` is "), "{detail}");
    }
    assert_eq!(server.get("/v1/breakers").await.done()["breakers"], json!([]));
    assert_eq!(server.get("/v1/limits/rpm").await.done()["paused_until"], Value::Null);
    server.stop().await;
}
