//! What one client can take of a server: time, connections and bytes, each bounded. And how it stops.

use std::time::Duration;

use axum::http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollgate::api::ServeOptions;

use super::server::{SECONDS, Server, read_to_end, reserve, rolling};
use crate::support::within;

const SHORT: Duration = Duration::from_millis(150);

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let options = ServeOptions { header_timeout: SHORT, ..ServeOptions::default() };
    let server = Server::start_with(&[], options).await;
    assert_eq!(read_to_end(server.connect("GET /healthz HT").await).await, "");
    assert_eq!(read_to_end(server.connect("").await).await, "", "nor for one that does not begin");
    let kept = read_to_end(server.connect(HEALTH).await).await;
    assert!(
        kept.starts_with("HTTP/1.1 200") && kept.ends_with("{\"status\":\"ok\"}"),
        "then idle for too long: {kept}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let options = ServeOptions { request_timeout: SHORT, ..ServeOptions::default() };
    let server = Server::start_with(&[], options).await;
    for path in ["/v1/reserve", "/v1/acquire"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{{\"lease");
        let text = read_to_end(server.connect(&head).await).await;
        assert!(text.starts_with("HTTP/1.1 408") && text.contains("\"error\":\"request_timeout\""), "{text}");
        assert!(text.contains("the body did not arrive in time; nothing was done, send the request again"), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let options = ServeOptions { max_connections: 2, ..ServeOptions::default() };
    let server = Server::start_with(&[], options).await;
    let mut first = server.connect(HEALTH).await;
    let _second = server.connect(HEALTH).await;
    let mut byte = [0; 1];
    within(SECONDS, first.read_exact(&mut byte)).await.expect("the first is served");
    let mut third = server.connect(HEALTH).await;
    let early = tokio::time::timeout(SHORT, third.read_exact(&mut byte)).await;
    assert!(early.is_err(), "the third must wait");
    drop(first);
    within(SECONDS, third.read_exact(&mut byte)).await.expect("now it is its turn");
    drop((_second, third));
    server.stop().await;
}

#[tokio::test]
async fn requests_in_flight_end_before_the_server_does() {
    let server = Server::start(&[rolling("a", 5)]).await;
    let body = reserve("a", 1).to_string();
    let (one, other) = body.split_at(10);
    let head = format!("POST /v1/reserve HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut in_flight = server.connect(&format!("{head}{one}")).await;
    let idle = server.connect(HEALTH).await;
    server.get("/healthz").await.done();
    let address = server.address;
    // What was sent on a connection arrives in its own time: let the server have seen the head.
    tokio::time::sleep(SHORT).await;
    let stopped = server.begin_stop();
    assert!(read_to_end(idle).await.starts_with("HTTP/1.1 200"), "an idle connection is closed");
    in_flight.write_all(other.as_bytes()).await.expect("still open");
    let text = read_to_end(in_flight).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"allowed\":true"), "{text}");
    within(SECONDS, stopped).await.expect("stopped without a panic");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_that_does_not_end_holds_the_server_for_the_grace_only() {
    let options = ServeOptions { shutdown_grace: SHORT, ..ServeOptions::default() };
    let server = Server::start_with(&[], options).await;
    let stuck = server.connect("POST /v1/reserve HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n").await;
    server.get("/healthz").await.done();
    tokio::time::sleep(SHORT).await;
    server.stop().await;
    assert_eq!(read_to_end(stuck).await, "");
}

#[tokio::test]
async fn a_runtime_that_ends_takes_its_server_along() {
    let server = Server::start(&[]).await;
    let held = server.connect(HEALTH).await;
    server.request(Method::GET, "/healthz", "");
    server.tollgate.shutdown().await;
    within(SECONDS, server.tollgate.ended()).await;
    assert!(read_to_end(held).await.len() < 1000);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}
