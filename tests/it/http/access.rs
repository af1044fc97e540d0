//! Tokens of two scopes, and what each may do.

use axum::http::{HeaderValue, Method};
use serde_json::json;
use tollgate::api::ServeOptions;
use tollgate::config::{AuthConfig, Secret};

use super::server::{Server, reserve, rolling};

const ADMIN: &str = "admin-token-0123456789";
const CLIENT: &str = "client-token-0123456789";

const OPEN: [&str; 4] = ["/healthz", "/readyz", "/openapi.json", "/"];
const CLIENTS: [&str; 4] = ["/v1/limits", "/v1/limits/a", "/v1/status", "/metrics"];
const ADMINS: [&str; 2] = ["/v1/admin/limits", "/v1/admin/limits/a"];

fn access(admin: &[&str], client: &[&str]) -> AuthConfig {
    let secrets = |texts: &[&str]| texts.iter().map(|text| Secret::parse(text).expect("a good token")).collect();
    AuthConfig { admin: secrets(admin), client: secrets(client) }
}

async fn start(admin: &[&str], client: &[&str]) -> Server {
    let options = ServeOptions { access: access(admin, client), ..ServeOptions::default() };
    Server::start_with(&[rolling("a", 5)], options).await
}

/// What every route of a scope is answered.
async fn check(server: &Server, paths: &[&str], token: Option<&str>, status: u16) {
    for path in paths {
        let mut request = server.request(Method::GET, path, "");
        if let Some(token) = token {
            let header = HeaderValue::try_from(format!("Bearer {token}")).expect("a good header");
            request.headers_mut().insert("authorization", header);
        }
        let answer = server.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{path} with {token:?}: {answer:?}");
        match status {
            401 => {
                assert_eq!(answer.problem(401).0, "unauthorized");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
            403 => assert_eq!(answer.problem(403).0, "forbidden"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn without_tokens_everything_is_open() {
    let server = start(&[], &[]).await;
    for paths in [&OPEN[..], &CLIENTS, &ADMINS] {
        check(&server, paths, None, 200).await;
        check(&server, paths, Some("whatever"), 200).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn each_scope_may_do_its_own() {
    let server = start(&[ADMIN], &[CLIENT]).await;
    for token in [None, Some("wrong-token-0123456789"), Some(ADMIN), Some(CLIENT)] {
        check(&server, &OPEN, token, 200).await;
    }
    for token in [None, Some("wrong-token-0123456789")] {
        check(&server, &CLIENTS, token, 401).await;
        check(&server, &ADMINS, token, 401).await;
    }
    check(&server, &CLIENTS, Some(CLIENT), 200).await;
    check(&server, &ADMINS, Some(CLIENT), 403).await;
    check(&server, &CLIENTS, Some(ADMIN), 200).await;
    check(&server, &ADMINS, Some(ADMIN), 200).await;

    let told = |answer: super::server::Answer, status| answer.problem(status).1;
    let detail = told(server.post("/v1/reserve", &reserve("a", 1)).await, 401);
    assert_eq!(detail, "this route wants a token; send the header `authorization: Bearer <token>`");
    let mut request = server.request(Method::PUT, "/v1/admin/limits", json!({}).to_string());
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer client-token-0123456789"));
    assert_eq!(told(server.send(request).await, 403), "this route wants an admin token, and got a client's");
    let mut request = server.request(Method::GET, "/v1/status", "");
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer nobody"));
    assert_eq!(told(server.send(request).await, 401), "the token is not one of this server's");
    server.stop().await;
}

#[tokio::test]
async fn a_scope_without_tokens_is_not_open() {
    let server = start(&[ADMIN], &[]).await;
    check(&server, &CLIENTS, None, 401).await;
    check(&server, &CLIENTS, Some(ADMIN), 200).await;
    check(&server, &ADMINS, Some(ADMIN), 200).await;
    server.stop().await;

    let server = start(&[], &[CLIENT]).await;
    check(&server, &CLIENTS, Some(CLIENT), 200).await;
    check(&server, &ADMINS, Some(CLIENT), 403).await;
    check(&server, &ADMINS, None, 403).await;
    let (_, detail) = server.get("/v1/admin/limits").await.problem(403);
    assert_eq!(detail, "this server has no admin token, so nobody may change its limits over HTTP");
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_replaced_while_serving() {
    let server = start(&[], &[CLIENT]).await;
    server.state.replace_access(access(&[ADMIN], &["another-token-0123456789"]));
    check(&server, &CLIENTS, Some(CLIENT), 401).await;
    check(&server, &CLIENTS, Some("another-token-0123456789"), 200).await;
    check(&server, &ADMINS, Some(ADMIN), 200).await;
    server.stop().await;
}
