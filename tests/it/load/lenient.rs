//! A server that grants whatever it is asked for, and one that fails.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{json, load, number};

/// Says that it has a limit, and answers each reservation with `status` and the lease that was asked for.
async fn serve(status: StatusCode) -> SocketAddr {
    let router = Router::new()
        .route("/v1/admin/limits", get(async || Json(limits())))
        .route("/v1/status", get(async || Json(json!({"backend": {"kind": "lenient"}}))))
        .route("/v1/reserve", post(reserve))
        .route("/v1/complete", post(async || Json(json!({"ok": true, "error": ""}))))
        .with_state(status);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
    address
}

fn limits() -> Value {
    let definition = json!({"key": "a:rps", "kind": "rolling", "capacity": 5, "window_seconds": 60});
    json!({"limits": [{"definition": definition, "status": "active", "version": 1, "pending_decrease_to": null}]})
}

async fn reserve(State(status): State<StatusCode>, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    let granted = json!({"allowed": true, "lease_id": request["lease_id"], "reserved_at_unix_ms": 0,
        "retry_after_ms": 0, "error": "", "denied": []});
    let failed = json!({"error": "backend_error", "detail": "the books are gone"});
    (status, Json(if status.is_success() { granted } else { failed }))
}

#[tokio::test]
async fn one_that_lets_everybody_in_is_found_out() {
    let address = serve(StatusCode::OK).await;
    let line = format!("--verify --duration 300ms --concurrency 2 --think-ms 5 --server http://{address}");
    let ended = load(&format!("{line} --json")).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = json(&ended);
    let over_admissions = number(&report["verify"], "over_admissions");
    assert_eq!(over_admissions, number(&report, "allowed") - 5, "{report}");
    assert_eq!((&report["verify"]["worst"]["key"], &report["verify"]["worst"]["taken"]), (&"a:rps".into(), &6.into()));
    assert!(report["http_5xx"].is_null(), "it has no metrics: {report}");

    let told = load(&line).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stdout.contains("\nworst            6 of 5 taken of a:rps, "), "{told:?}");
}

#[tokio::test]
async fn errors_are_counted_by_what_was_said() {
    let address = serve(StatusCode::INTERNAL_SERVER_ERROR).await;
    let line = format!("--verify --duration 1s --concurrency 2 --think-ms 5 --json --server http://{address}");
    let ended = load(&line).await;
    assert_eq!(ended.code, Some(1), "nothing was granted, so nothing was checked: {ended:?}");
    let report = json(&ended);
    let errors = report["errors"].as_array().expect("kinds");
    assert_eq!((errors.len(), &errors[0]["name"]), (1, &"backend_error".into()), "{report}");
    assert_eq!(
        (&errors[0]["count"], &errors[0]["text"]),
        (&report["reserves"], &"reservation refused: the books are gone".into())
    );
    assert!(number(&errors[0], "first_ms") < number(&errors[0], "last_ms"), "{report}");
    assert_eq!(report["verify"]["limits_checked"], 0);
}
