//! Clients that go away while they wait leave nothing behind.

use serde_json::{Value, json};

use super::CONFIG;
use crate::support::client::{Client, acquire, reserve};
use crate::support::server::{Home, PATIENCE_SECONDS, Server};
use crate::support::until;
use crate::support::wire::Wire;

const WAITERS: u64 = 20;

async fn until_waiters(client: &Client, count: u64) {
    let is_so = async || client.read("/v1/limits/slot").await["waiters"] == count;
    until(PATIENCE_SECONDS, "they wait", is_so).await;
}

async fn hangs_on(server: &Server, body: &Value) -> Wire {
    let mut wire = Wire::connect(server.address).await.expect("it listens");
    wire.send("/v1/acquire", body).await.expect("it is sent");
    wire
}

#[tokio::test]
async fn clients_that_hang_up_while_they_wait_leave_no_waiter_and_no_slot() {
    let home = Home::new(CONFIG);
    let server = home.start().await;
    let client = server.client();
    let holder = reserve("slot", 1);
    assert_eq!(client.ask("POST", "/v1/reserve", &holder).await.1["allowed"], true);

    let mut waiting = Vec::new();
    for _ in 0..WAITERS {
        waiting.push(hangs_on(&server, &acquire("slot", 1, 60_000)).await);
    }
    until_waiters(&client, WAITERS).await;
    drop(waiting);
    until_waiters(&client, 0).await;

    let complete = json!({"lease_id": holder["lease_id"], "actuals": []});
    assert_eq!(client.ask("POST", "/v1/complete", &complete).await.1["ok"], true);
    let usage = client.read("/v1/limits/slot").await;
    assert_eq!((&usage["available"], &usage["waiters"]), (&json!(1), &json!(0)), "{usage}");
    assert_eq!(client.read("/v1/status").await["backend"]["live_leases"], 0);
    assert_eq!(client.ask("POST", "/v1/acquire", &acquire("slot", 1, 0)).await.1["allowed"], true);
}

#[tokio::test]
async fn a_slot_that_frees_as_its_waiter_hangs_up_is_granted_once_or_not_at_all() {
    let home = Home::new(CONFIG);
    let server = home.start().await;
    let client = server.client();
    for round in 0..20 {
        let holder = reserve("slot", 1);
        assert_eq!(client.ask("POST", "/v1/reserve", &holder).await.1["allowed"], true, "round {round}");
        let body = acquire("slot", 1, 60_000);
        let stream = hangs_on(&server, &body).await;
        until_waiters(&client, 1).await;
        let complete = json!({"lease_id": holder["lease_id"], "actuals": []});
        let (answer, ()) = tokio::join!(client.ask("POST", "/v1/complete", &complete), async { drop(stream) });
        assert_eq!(answer.1["ok"], true);
        until_waiters(&client, 0).await;
        // Who hung up may have been granted just before, and have the answer: that lease is there to be completed.
        let lease = format!("/v1/leases/{}", body["lease_id"].as_str().expect("an id"));
        // It may also be given back between the two looks.
        let is_counted_once = async || {
            let is_granted = client.get(&lease).await.1["state"] == "live";
            client.read("/v1/limits/slot").await["available"] == u64::from(!is_granted)
        };
        until(PATIENCE_SECONDS, &format!("round {round}: the slot is free or granted"), is_counted_once).await;
        let complete = json!({"lease_id": body["lease_id"], "actuals": []});
        assert_eq!(client.ask("POST", "/v1/complete", &complete).await.0, 200);
        assert_eq!(client.read("/v1/limits/slot").await["available"], 1, "round {round}");
    }
}
