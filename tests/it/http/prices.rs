//! Limits that count cost, reserved and completed in tokens.

use serde_json::{Value, json};
use tollgate::Tollgate;
use tollgate::api::ServeOptions;
use tollgate::config::Settings;
use tollgate::policy::{Price, PriceTable, UsdMicros};

use super::server::{Server, lease_id, rolling};

/// A budget of 10 dollars; a model at 2.50 dollars per million of input and 10.00 of output, and one that is free.
async fn start() -> Server {
    let price = |input: &str, output: &str| Price {
        input_per_million: UsdMicros::parse(input).expect("dollars"),
        output_per_million: UsdMicros::parse(output).expect("dollars"),
    };
    let mut prices = PriceTable::default();
    prices.add("gpt-4o", price("2.50", "10.00")).expect("a new model");
    prices.add("local", price("0", "0")).expect("a new model");
    let limit = serde_json::from_value(rolling("budget", 10_000_000)).expect("a limit");
    let builder = Tollgate::builder().settings(Settings { prices, ..Settings::default() }).limit_fields(limit);
    Server::of(builder.start().await.expect("it starts"), ServeOptions::default()).await
}

fn tokens(model: &str, input: u64, output: u64) -> Value {
    json!([{"key": "budget", "tokens": {"model": model, "input": input, "output": output}}])
}

async fn used(server: &Server) -> u64 {
    server.get("/v1/limits/budget").await.done()["used"].as_u64().expect("a number")
}

#[tokio::test]
async fn tokens_are_reserved_and_completed_at_their_price() {
    let server = start().await;
    let id = lease_id();
    let request = json!({"lease_id": id, "requirements": tokens("gpt-4o", 1_000, 500)});
    assert_eq!(server.post("/v1/reserve", &request).await.done()["allowed"], true);
    assert_eq!(used(&server).await, 2_500 + 5_000, "in millionths of a dollar");
    let complete = json!({"lease_id": id, "actuals": tokens("gpt-4o", 1_000, 1)});
    assert_eq!(server.post("/v1/complete", &complete).await.done()["ok"], true);
    assert_eq!(used(&server).await, 2_510);
    let too_much = json!({"lease_id": lease_id(), "requirements": tokens("gpt-4o", 0, 1_000_000)});
    assert_eq!(server.post("/v1/reserve", &too_much).await.done()["error"], "");
    let never = json!({"lease_id": lease_id(), "requirements": tokens("gpt-4o", 0, 1_000_001)});
    assert_eq!(server.post("/v1/reserve", &never).await.done()["error"], "never_fits:budget");
    let peeked = server.post("/v1/peek", &json!({"requirements": tokens("gpt-4o", 10, 10)})).await.done();
    assert_eq!(peeked["allowed"], true);
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_is_free_can_be_reserved_and_completed() {
    let server = start().await;
    let id = lease_id();
    let request = json!({"lease_id": id, "max_wait_ms": 10, "requirements": tokens("local", 1_000, 500)});
    assert_eq!(server.post("/v1/acquire", &request).await.done()["allowed"], true);
    let complete = json!({"lease_id": id, "actuals": tokens("local", 1_000, 400)});
    assert_eq!(server.post("/v1/complete", &complete).await.done()["ok"], true);
    assert_eq!(used(&server).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn every_mistake_names_its_field() {
    let server = start().await;
    let reserve = |requirements: Value| json!({"lease_id": lease_id(), "requirements": requirements});
    for (requirements, told) in [
        (
            tokens("gpt-4", 1, 1),
            "`requirements[0].tokens.model` is `gpt-4`, which has no price; did you mean `gpt-4o`? if \
          not, add it under `[[prices]]`",
        ),
        (json!([{"key": "budget"}]), "`requirements[0].amount` is missing; give it, or `tokens` that have a price"),
        (
            json!([{"key": "budget", "amount": 1, "tokens": {"model": "gpt-4o", "input": 1, "output": 1}}]),
            "`requirements[0].amount` stands beside `tokens`; give one of them",
        ),
        (json!([{"key": "a b", "tokens": {"model": "x", "input": 1, "output": 1}}]), "`requirements[0].key` "),
    ] {
        let (code, detail) = server.post("/v1/reserve", &reserve(requirements)).await.problem(400);
        assert_eq!(code, "invalid_request");
        assert!(detail.starts_with(told), "{told}\nis not how this begins:\n{detail}");
    }
    server.stop().await;
}
