//! Every problem, its status, its code and its words.

use axum::http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::server::{Server, lease_id, read_to_end, reserve, rolling};

const LEASE: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// The detail of a 400.
async fn refused(server: &Server, path: &str, body: &str) -> String {
    let answer = server.send(server.request(Method::POST, path, body.to_owned())).await;
    let (code, detail) = answer.problem(400);
    assert_eq!(code, "invalid_request");
    detail
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there() {
    let server = Server::start(&[]).await;
    let told = "there is no such route; `/openapi.json` lists those there are";
    for path in ["/v1", "/v1/reserve/", "/v1/limits/", "/v2/reserve", "/favicon.ico"] {
        assert_eq!(server.get(path).await.problem(404), ("not_found".to_owned(), told.to_owned()));
    }
    let answer = server.get("/v1/reserve").await;
    let told = "this route does not take this method; the `allow` header names those it takes";
    assert_eq!(answer.problem(405), ("method_not_allowed".to_owned(), told.to_owned()));
    assert_eq!(answer.header("allow"), "POST");
    server.stop().await;
}

#[tokio::test]
async fn json_that_is_none_says_where() {
    let server = Server::start(&[]).await;
    for (body, detail) in [
        ("", "`body` is no JSON: EOF while parsing a value (line 1, column 0); send one JSON object"),
        ("{\n  \"lease_id\" 5}", "`body` is no JSON: expected `:` (line 2, column 14); send one JSON object"),
        ("{\"lease_id\":", "`body` is no JSON: EOF while parsing a value (line 1, column 12); send one JSON object"),
    ] {
        assert_eq!(refused(&server, "/v1/reserve", body).await, detail);
    }
    let trailing = format!("{{\"lease_id\":\"{LEASE}\"}} x");
    assert_eq!(
        refused(&server, "/v1/complete", &trailing).await,
        "`body` is no JSON: trailing characters (line 1, column 43); send one JSON object"
    );
    server.stop().await;
}

#[tokio::test]
async fn json_of_another_shape_names_the_field() {
    let server = Server::start(&[]).await;
    let hint = "`/openapi.json` says what this route takes";
    let with = |requirements: Value| json!({"lease_id": LEASE, "requirements": requirements}).to_string();
    let array = json!([LEASE, null, null, [{"key": "a", "amount": 1}]]).to_string();
    for (body, told) in [
        ("{}".to_owned(), "`lease_id` is missing"),
        (array, "`body` is refused: invalid type: sequence, expected an object"),
        ("7".to_owned(), "`body` is refused: invalid type: integer `7`, expected an object"),
        (with(json!([{"key": "a", "amount": 1}, {"amount": 1}])), "`requirements[1].key` is missing"),
        (with(json!([["a", 1]])), "`requirements[0]` is refused: invalid type: sequence, expected an object"),
        (
            with(json!([{"key": 5, "amount": 1}])),
            "`requirements[0].key` is refused: invalid type: integer `5`, expected a string",
        ),
        (
            with(json!([{"key": "a", "amount": -1}])),
            "`requirements[0].amount` is refused: invalid value: integer `-1`, expected u64",
        ),
        (
            with(json!([{"key": "a", "amount": 1.5}])),
            "`requirements[0].amount` is refused: invalid type: floating point `1.5`, expected u64",
        ),
        (
            with(json!([{"key": "a", "amount": 1, "extra": 1}])),
            "`requirements[0].extra` is refused: unknown field `extra`, expected one of `key`, `amount`, `tokens`",
        ),
    ] {
        let detail = refused(&server, "/v1/reserve", &body).await;
        let (before, after) = detail.split_once(" (line 1, column ").expect("a place");
        assert_eq!(before, told);
        assert_eq!(after.split_once("); ").expect("a hint").1, hint);
    }
    server.stop().await;
}

#[tokio::test]
async fn every_mistake_of_a_request_is_told_at_once() {
    let server = Server::start(&[]).await;
    let request = json!({"lease_id": "nope", "tenant": "", "requirements": [
        {"key": "a b", "amount": 1}, {"key": "tenant:{t}", "amount": 0}]});
    let answer = server.post("/v1/reserve", &request).await;
    let (_, detail) = answer.problem(400);
    let errors = answer.json()["errors"].clone();
    let fields: Vec<_> = errors.as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["lease_id", "tenant", "requirements[0].key", "requirements[1].key", "requirements[1].amount"]);
    assert_eq!(
        errors[4],
        json!({"field": "requirements[1].amount", "problem": "is 0",
            "hint": "use at least 1, or `peek` to look without reserving"})
    );
    assert_eq!(detail.split(" | ").count(), 5);
    assert!(detail.contains("`tenant` is 0 bytes long; use 1 to 256 bytes, or leave it out"), "{detail}");

    let many: Vec<_> = (0..200).map(|_| json!({"key": "a b", "amount": 0})).collect();
    let answer = server.post("/v1/reserve", &json!({"lease_id": lease_id(), "requirements": many})).await;
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 64, "the answer is bounded");
    let many: Vec<_> = (0..33).map(|_| json!({"key": "a", "amount": 1})).collect();
    let counted = json!({"lease_id": lease_id(), "requirements": many}).to_string();
    assert_eq!(refused(&server, "/v1/reserve", &counted).await, "`requirements` has 33 entries; give 1 to 32");
    server.stop().await;
}

#[tokio::test]
async fn leases_that_cannot_be_completed_renewed_or_shown() {
    let server = Server::start(&[rolling("a", 5)]).await;
    let request = reserve("a", 1);
    server.post("/v1/reserve", &request).await.done();
    let other = json!({"lease_id": request["lease_id"], "actuals": [{"key": "b", "amount": 1}]}).to_string();
    assert_eq!(
        refused(&server, "/v1/complete", &other).await,
        "the lease does not hold `b`; name only keys that were reserved"
    );
    let timeout = json!({"lease_id": LEASE, "timeout_seconds": 0}).to_string();
    assert_eq!(
        refused(&server, "/v1/renew", &timeout).await,
        "`timeout_seconds` is 0; use whole seconds from 1 to 3155760000, or leave it out"
    );
    assert_eq!(
        server.get(&format!("/v1/leases/{LEASE}")).await.problem(404).1,
        format!("no lease `{LEASE}` is known; it was never granted, or is over and forgotten")
    );
    let (_, detail) = server.get("/v1/leases/nope").await.problem(400);
    assert!(detail.starts_with("`lease_id` is `nope`, which is no ULID; "), "{detail}");
    let (_, detail) = server.get("/v1/leases/%FF").await.problem(400);
    assert_eq!(detail, "`lease_id` is no UTF-8; write every byte that is not plain as `%` and two digits");
    let changed = json!({"lease_id": request["lease_id"], "requirements": [{"key": "a", "amount": 2}]});
    assert_eq!(server.post("/v1/reserve", &changed).await.problem(400).0, "invalid_request");
    server.stop().await;
}

#[tokio::test]
async fn a_body_beyond_a_mebibyte_is_refused_before_it_is_read() {
    let server = Server::start(&[]).await;
    let announced = "POST /v1/reserve HTTP/1.1\r\nhost: test\r\ncontent-length: 1048577\r\nconnection: close\r\n\r\n";
    let text = read_to_end(server.connect(announced).await).await;
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("\"error\":\"body_too_large\""), "{text}");
    assert!(text.contains("the body is longer than 1048576 bytes; send fewer requests in one"), "{text}");

    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let head = "POST /v1/reserve HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let text = read_to_end(server.connect(&format!("{head}{}1\r\n \r\n", chunk.repeat(16))).await).await;
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");

    let just_fits = format!("{{}}{}", " ".repeat((1 << 20) - 2));
    assert!(refused(&server, "/v1/reserve", &just_fits).await.contains("`lease_id` is missing"));
    server.stop().await;
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let server = Server::start(&[rolling("a", 5)]).await;
    let mut request = server.request(Method::POST, "/v1/reserve", reserve("a", 1).to_string());
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert("content-type", form);
    assert_eq!(server.send(request).await.done()["allowed"], true);
    server.stop().await;
}
