//! What clients see of a limit that its provider restrains.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::policy::Restraint;

use super::server::{Server, concurrency, reserve, rolling};
use crate::support::key;

const MINUTE: Duration = Duration::from_secs(60);

async fn pause(server: &Server, text: &str) {
    let until = server.tollgate.now().after(MINUTE);
    server.tollgate.restrain(&key(text), Restraint::Pause { until }).await.expect("it answers");
}

/// Checks a wait of a minute that began a moment ago.
#[track_caller]
fn check_minute(ms: &Value) {
    let ms = ms.as_u64().expect("milliseconds");
    assert!((30_000..=60_000).contains(&ms), "{ms}");
}

/// Checks the refusal of `a`, which is paused, and takes its waits out.
#[track_caller]
fn check_paused(mut answer: Value) {
    check_minute(&answer["retry_after_ms"].take());
    check_minute(&answer["denied"][0]["retry_after_ms"].take());
    let denied = json!([{"key": "a", "capacity": 10, "available": 10, "retry_after_ms": null}]);
    assert_eq!(answer, json!({"allowed": false, "retry_after_ms": null, "error": "limit_paused:a", "denied": denied}));
}

#[tokio::test]
async fn a_paused_limit_refuses_on_every_route() {
    let server = Server::start(&[rolling("a", 10), concurrency("b", 10)]).await;
    pause(&server, "a").await;
    check_paused(server.post("/v1/reserve", &reserve("a", 1)).await.done());
    check_paused(server.post("/v1/peek", &json!({"requirements": [{"key": "a", "amount": 0}]})).await.done());
    let batch = json!({"requests": [reserve("a", 1), reserve("b", 1)]});
    let mut results = server.post("/v1/reserve/batch", &batch).await.done()["results"].take();
    assert_eq!(results[1]["allowed"], true);
    check_paused(results[0].take());
    let mut acquire = reserve("a", 1);
    acquire["max_wait_ms"] = json!(20_000);
    check_paused(server.post("/v1/acquire", &acquire).await.done());
    assert_eq!(server.tollgate.waiting(), 0, "a pause longer than the wait is refused at once");
    server.stop().await;
}

#[tokio::test]
async fn a_usage_says_until_when_and_how_much() {
    let server = Server::start(&[rolling("a", 10), concurrency("b", 10)]).await;
    let granted = server.post("/v1/reserve", &reserve("a", 1)).await.done();
    pause(&server, "a").await;
    let until = server.tollgate.now().after(MINUTE);
    server.tollgate.restrain(&key("a"), Restraint::Tighten { remaining: 2, until }).await.expect("it answers");
    let usage = server.get("/v1/limits/a").await.done();
    let paused_ms = usage["paused_until"].as_u64().expect("Unix milliseconds");
    let after_the_grant_ms = paused_ms - granted["reserved_at_unix_ms"].as_u64().expect("Unix milliseconds");
    assert!((60_000..90_000).contains(&after_the_grant_ms), "{after_the_grant_ms}");
    let amounts = ["capacity", "used", "available", "withheld", "waiters"].map(|field| usage[field].clone());
    assert_eq!(json!(amounts), json!([10, 8, 2, 7, 0]));
    let free = server.get("/v1/limits").await.done()["limits"][1].clone();
    assert_eq!((&free["paused_until"], &free["withheld"]), (&json!(null), &json!(0)));
    let metrics = server.get("/metrics").await.text;
    for line in ["tollgate_limit_paused{limit=\"a\"} 1", "tollgate_limit_paused{limit=\"b\"} 0"] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
    }
    server.stop().await;
}
