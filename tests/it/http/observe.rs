//! What can be seen from outside: ids, status, metrics, and the description of the routes.

use std::collections::BTreeSet;

use axum::http::{HeaderValue, Method};
use serde_json::json;

use super::server::{Server, lease_id, reserve, rolling};

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let server = Server::start(&[]).await;
    let mut made = BTreeSet::new();
    for (path, status) in [("/healthz", 200), ("/v1/nothing", 404), ("/v1/reserve", 405), ("/v1/leases/x", 400)] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, status);
        assert!(made.insert(answer.header("x-request-id").to_owned()), "{answer:?}");
    }
    assert!(made.iter().all(|id| !id.is_empty()));
    for (sent, is_kept) in [("Job-1.step_2", true), ("with space", false), ("quote\"", false)] {
        let mut request = server.request(Method::GET, "/healthz", "");
        request.headers_mut().insert("x-request-id", HeaderValue::from_static(sent));
        assert_eq!(server.send(request).await.header("x-request-id") == sent, is_kept, "{sent}");
    }
    server.stop().await;
}

#[tokio::test]
async fn health_and_status_tell_how_it_fares() {
    let server = Server::start(&[rolling("a", 5)]).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.done(), json!({"status": "ok"}));
    }
    server.post("/v1/reserve", &reserve("a", 1)).await.done();
    let status = server.get("/v1/status").await.done();
    assert_eq!((&status["state"], &status["version"]), (&json!("running"), &json!(env!("CARGO_PKG_VERSION"))));
    let backend = &status["backend"];
    assert_eq!(
        (&backend["kind"], &backend["healthy"], &backend["granted"]),
        (&json!("memory"), &json!(true), &json!(1))
    );
    let children: Vec<_> =
        status["actors"]["children"].as_array().unwrap().iter().map(|actor| actor["name"].as_str().unwrap()).collect();
    assert!(children.iter().any(|name| name.ends_with("api")), "{children:?}");
    server.stop().await;
}

#[tokio::test]
async fn metrics_count_what_was_decided() {
    let server = Server::start(&[rolling("a", 5)]).await;
    let granted = reserve("a", 4);
    server.post("/v1/reserve", &granted).await.done();
    server.post("/v1/reserve", &reserve("a", 4)).await.done();
    server.post("/v1/complete", &json!({"lease_id": granted["lease_id"]})).await.done();
    server.post("/v1/complete", &json!({"lease_id": lease_id()})).await.done();
    server.get("/v1/nothing").await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "tollgate_reservations_total{outcome=\"granted\"} 1",
        "tollgate_reservations_total{outcome=\"denied\"} 1",
        "tollgate_leases_completed_total 1",
        "tollgate_leases_expired_total 0",
        "tollgate_live_leases 0",
        "tollgate_limits 1",
        "tollgate_waiters 0",
        "tollgate_calls_total 0",
        "tollgate_call_retries_total 0",
        "tollgate_call_retries_denied_total 0",
        "tollgate_call_leases_lost_total 0",
        "tollgate_call_hook_failures_total 0",
        "tollgate_backend_up 1",
        "tollgate_limit_denied_total{limit=\"a\"} 1",
        "tollgate_limit_would_deny_total{limit=\"a\"} 0",
        "tollgate_limit_overage_total{limit=\"a\"} 0",
        "tollgate_http_requests_total{route=\"/v1/reserve\",status=\"200\"} 2",
        "tollgate_http_requests_total{route=\"unknown\",status=\"404\"} 1",
        "tollgate_http_connections 1",
    ] {
        assert!(answer.text.lines().any(|other| other == line), "{line} is not in\n{}", answer.text);
    }
    assert!(answer.text.contains("tollgate_actor_restarts_total{actor=\"") && answer.text.ends_with('\n'));
    check_format(&answer.text);
    server.stop().await;
}

/// Every sample belongs to the family announced last, each family is announced once, and no sample comes twice.
pub(super) fn check_format(text: &str) {
    let (mut family, mut families, mut samples) = ("", BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_whitespace().next().expect("a name");
            assert!(families.insert(family), "{family} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(" ").expect("a kind");
            assert_eq!(name, family);
            assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" });
        } else {
            let (sample, value) = line.rsplit_once(" ").expect("a value");
            assert_eq!(sample.split('{').next(), Some(family));
            assert!(value.parse::<f64>().is_ok() && samples.insert(sample), "{line}");
        }
    }
}

#[tokio::test]
async fn the_description_names_each_method_of_each_route_and_no_other() {
    let server = Server::start(&[]).await;
    let document = server.get("/openapi.json").await.done();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        // Refused everywhere, and so told what is not.
        let example = path.replace("{key}", "a").replace("{lease_id}", "a");
        let answer = server.send(server.request(Method::PATCH, &example, "")).await;
        assert_eq!(answer.problem(405).0, "method_not_allowed", "{path}");
        let served: BTreeSet<_> =
            answer.header("allow").split(',').map(str::to_lowercase).filter(|method| method != "head").collect();
        let described: BTreeSet<_> = methods.as_object().expect("methods").keys().cloned().collect();
        assert_eq!(served, described, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_description_refers_to_nothing_that_is_not_there() {
    let server = Server::start(&[]).await;
    let document = server.get("/openapi.json").await.done();
    let text = document.to_string();
    let references: BTreeSet<_> =
        text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(30 < references.len());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    server.stop().await;
}
