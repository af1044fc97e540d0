//! What is seen of a ledger elsewhere: its connection, what it has not taken, and what it does not answer.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate::Tollgate;
use tollgate::api::ServeOptions;
use tollgate::backends::{Applied, Backend, Registered};
use tollgate::policy::{DefinitionFields, LimitState};

use super::server::{Server, reserve, rolling};
use crate::support::remote::{Line, Remote};

async fn start(remote: &Remote) -> Server {
    let tollgate = Tollgate::builder().ledger(remote.ledger()).start().await.expect("starts");
    Server::of(tollgate, ServeOptions::default()).await
}

#[track_caller]
fn check_metrics(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|other| other == *line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn its_connection_is_shown_and_that_of_books_in_memory_is_none() {
    let (memory, remote) = (Server::start(&[]).await, Remote::default());
    let status = memory.get("/v1/status").await.done();
    assert_eq!(status["backend"].get("session"), Some(&Value::Null));
    let metrics = memory.get("/metrics").await.text;
    assert!(!metrics.contains("tollgate_backend_in_flight"), "{metrics}");
    check_metrics(&metrics, &["tollgate_definitions_not_in_force 0", "tollgate_definitions_superseded 0"]);
    memory.stop().await;

    let server = start(&remote).await;
    let session = &server.get("/v1/status").await.done()["backend"]["session"];
    assert_eq!(
        *session,
        json!({"in_flight": 0, "in_flight_max": 4096, "away_since_ms": 1500, "timed_out": 7, "late_grants_given_back": 0,
            "rebuilt": 0, "denied_while_away": 0, "allowed_while_away": 0, "shared_while_away": 0})
    );
    let document = server.get("/openapi.json").await.done();
    let described = document.pointer("/components/schemas/Session/properties").expect("it is described");
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(described), names(session));
    let metrics = server.get("/metrics").await.text;
    check_metrics(
        &metrics,
        &[
            "tollgate_backend_in_flight 0",
            "tollgate_backend_in_flight_max 4096",
            "tollgate_backend_away_seconds 1.5",
            "tollgate_backend_timed_out_total 7",
            "tollgate_backend_late_grants_total 0",
            "tollgate_backend_rebuilt_total 0",
            "tollgate_backend_away_decisions_total{outcome=\"denied\"} 0",
            "tollgate_backend_away_decisions_total{outcome=\"allowed\"} 0",
            "tollgate_backend_away_decisions_total{outcome=\"shared\"} 0",
        ],
    );
    super::observe::check_format(&metrics);
    server.stop().await;
}

#[tokio::test]
async fn a_change_it_has_not_taken_is_saved_and_shown() {
    let remote = Remote::default();
    let server = start(&remote).await;
    remote.set(Line::Away);
    assert_eq!(server.get("/readyz").await.problem(503).0, "backend_down");
    let told = server.put("/v1/admin/limits", &rolling("a", 5)).await.problem(503);
    let saved = "`a` is saved, and will be in force as soon as the ledger answers (the line is cut)".to_owned();
    assert_eq!(told, ("backend_error".to_owned(), saved));
    let limit = &server.get("/v1/admin/limits/a").await.done()["limit"];
    assert_eq!((&limit["status"], &limit["not_in_force"]), (&json!("active"), &json!("the line is cut")));
    assert_eq!(server.get("/v1/status").await.done()["backend"]["not_in_force"], 1);
    let unknown = server.post("/v1/reserve", &reserve("a", 1)).await.problem(503);
    let told = "the line is cut; whether it was done is unknown, so send the same request again".to_owned();
    assert_eq!(unknown, ("backend_error".to_owned(), told));
    server.stop().await;
}

#[tokio::test]
async fn a_newer_definition_of_another_server_is_shown_beside_the_one_that_is_saved() {
    let remote = Remote::default();
    let server = start(&remote).await;
    let fields: DefinitionFields = serde_json::from_value(rolling("a", 99)).expect("good fields");
    let registered = Arc::new(Registered { definition: fields.check().expect("good"), version: u64::MAX });
    let applied = remote.far().apply(&registered).get().await;
    assert_eq!(applied, Ok(Applied::InForce(LimitState::Active)));
    let told = server.put("/v1/admin/limits", &rolling("a", 5)).await.problem(409);
    let saved = "`a` is saved, but not in force: other servers change it at the same time; put it again".to_owned();
    assert_eq!(told, ("superseded".to_owned(), saved));
    let limit = &server.get("/v1/admin/limits").await.done()["limits"][0];
    assert_eq!(limit["superseded_by_version"], json!(u64::MAX));
    let metrics = server.get("/metrics").await.text;
    check_metrics(&metrics, &["tollgate_definitions_superseded 1", "tollgate_definitions_not_in_force 0"]);
    server.stop().await;
}
