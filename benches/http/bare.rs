//! The least that a route can do with the same request.

use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    lease_id: String,
    requirements: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    amount: u64,
}

#[derive(Serialize)]
struct Answer {
    allowed: bool,
    lease_id: String,
    reserved_at_unix_ms: u64,
    retry_after_ms: u64,
    error: &'static str,
    denied: Vec<String>,
}

async fn reserve(Json(request): Json<Request>) -> Json<Answer> {
    let allowed = request.requirements.iter().all(|requirement| !requirement.key.is_empty() && requirement.amount != 0);
    let reserved_at_unix_ms = 1_700_000_000_000;
    let lease_id = request.lease_id;
    Json(Answer { allowed, lease_id, reserved_at_unix_ms, retry_after_ms: 0, error: "", denied: Vec::new() })
}

pub(crate) async fn serve(listener: TcpListener) {
    let router = Router::new().route("/v1/reserve", post(reserve));
    axum::serve(listener, router).await.expect("a server");
}
