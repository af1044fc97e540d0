//! Acquires: the answer comes when it is decided, and who hangs up leaves nothing behind.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::api::ServeOptions;

use super::server::{SECONDS, Server, concurrency, read_to_end, reserve};
use crate::support::within;

fn acquire(key: &str, max_wait_ms: u64) -> Value {
    let mut request = reserve(key, 1);
    request["max_wait_ms"] = json!(max_wait_ms);
    request
}

fn as_text(path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn the_answer_comes_when_there_is_room() {
    let server = Server::start(&[concurrency("slots", 1)]).await;
    let first = server.post("/v1/acquire", &acquire("slots", 0)).await.done();
    assert_eq!(first["allowed"], true);
    let mut urgent = acquire("slots", 20_000);
    urgent["priority"] = json!("high");
    let complete = async {
        server.until_waiting(1).await;
        assert_eq!(server.get("/v1/limits/slots").await.done()["waiters"], 1);
        server.post("/v1/complete", &json!({"lease_id": first["lease_id"]})).await.done();
    };
    let (second, ()) = tokio::join!(server.post("/v1/acquire", &urgent), complete);
    assert_eq!(second.done()["lease_id"], urgent["lease_id"]);
    server.stop().await;
}

#[tokio::test]
async fn a_wait_that_is_over_is_a_refusal() {
    let server = Server::start(&[concurrency("slots", 1)]).await;
    server.post("/v1/reserve", &reserve("slots", 1)).await.done();
    let refused = server.post("/v1/acquire", &acquire("slots", 30)).await.done();
    assert_eq!((&refused["allowed"], &refused["error"]), (&json!(false), &json!("")));
    assert_eq!(refused["denied"][0]["key"], "slots");
    server.stop().await;
}

#[tokio::test]
async fn a_closed_connection_leaves_the_line() {
    let server = Server::start(&[concurrency("slots", 1)]).await;
    server.post("/v1/reserve", &reserve("slots", 1)).await.done();
    let connection = server.connect(&as_text("/v1/acquire", &acquire("slots", 20_000))).await;
    server.until_waiting(1).await;
    drop(connection);
    server.until_waiting(0).await;
    assert_eq!(server.get("/v1/limits/slots").await.done()["waiters"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_who_waits_and_closes() {
    let server = Server::start(&[concurrency("slots", 1)]).await;
    server.post("/v1/reserve", &reserve("slots", 1)).await.done();
    let waiting = server.connect(&as_text("/v1/acquire", &acquire("slots", 20_000))).await;
    server.until_waiting(1).await;
    let tollgate = server.tollgate.clone();
    let stopped = server.begin_stop();
    let text = read_to_end(waiting).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"error\":\"overloaded\""), "{text}");
    within(SECONDS, stopped).await.expect("stopped without a panic");
    assert_eq!(tollgate.waiting(), 0);
}

#[tokio::test]
async fn wait_and_priority_are_checked_with_all_else() {
    let options = ServeOptions { max_wait: Duration::from_secs(5), ..ServeOptions::default() };
    let server = Server::start_with(&[], options).await;
    let request = json!({"lease_id": "x", "requirements": [], "max_wait_ms": 5001, "priority": "urgent"});
    let (_, detail) = server.post("/v1/acquire", &request).await.problem(400);
    assert_eq!(
        detail,
        "`lease_id` is `x`, which is no ULID; use 26 characters of Crockford base 32, for example \
         `01ARZ3NDEKTSV4RRFFQ69G5FAV` | `requirements` has 0 entries; give 1 to 32 | `max_wait_ms` is 5001; use at \
         most 5000 | `priority` is `urgent`, which is no priority; use `high`, `normal` or `low`"
    );
    let (_, detail) = server.post("/v1/acquire", &reserve("slots", 1)).await.problem(400);
    assert!(detail.starts_with("`max_wait_ms` is missing (line 1, column "), "{detail}");
    server.stop().await;
}
