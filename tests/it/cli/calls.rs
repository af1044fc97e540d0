//! `tollgate reserve`, `complete` and `status`.

use std::time::Duration;

use serde_json::json;
use tollgate::policy::LeaseId;

use super::{Desk, check_failed};
use crate::support::server::PATIENCE_SECONDS;
use crate::support::within;

impl Desk {
    /// What is free of `rpm` and `slot`.
    async fn free(&self) -> [u64; 2] {
        let client = self.server.client();
        let [rpm, slot] = [client.read("/v1/limits/rpm").await, client.read("/v1/limits/slot").await];
        [rpm, slot].map(|usage| usage["available"].as_u64().expect("a number"))
    }
}

#[tokio::test]
async fn a_lease_is_reserved_repeated_and_completed() {
    let desk = Desk::open().await;
    let printed = desk.told("reserve rpm=5 slot=1 --tenant acme --job-id 7").await;
    let lease_id = LeaseId::parse(printed.trim_end()).expect("the lease id, and nothing else");
    assert_eq!((printed, desk.free().await), (format!("{lease_id}\n"), [55, 0]));
    let again = format!("reserve rpm=5 slot=1 --tenant acme --job-id 7 --lease-id {lease_id}");
    assert_eq!((desk.told(&again).await, desk.free().await), (format!("{lease_id}\n"), [55, 0]));

    let complete = format!("complete {lease_id} rpm=2");
    for _ in 0..2 {
        assert_eq!((desk.told(&complete).await, desk.free().await), (format!("completed {lease_id}\n"), [58, 1]));
    }
    check_failed(&desk.ask(&again).await, 3, "denied: the lease has completed or expired\n");
    let held = desk.told("reserve rpm=5").await;
    let wrong = desk.ask(&format!("complete {} slot=1", held.trim_end())).await;
    check_failed(&wrong, 1, "error: Bad Request: ");
    assert_eq!(desk.json(&format!("complete {}", held.trim_end())).await["ok"], true);
}

#[tokio::test]
async fn a_denial_is_told_as_a_table_with_what_to_do_or_as_json() {
    let desk = Desk::open().await;
    assert_eq!(desk.json("reserve slot=1 rpm=60").await["allowed"], true);
    let denied = desk.ask("reserve slot=1 rpm=2").await;
    check_failed(
        &denied,
        3,
        "denied: there is no room now\nKEY   CAPACITY  AVAILABLE  RETRY AFTER MS\nslot         1          0 ",
    );
    assert!(denied.stderr.contains("\nrpm         60          0 "), "{}", denied.stderr);
    let hint = denied.stderr.lines().last().expect("a hint");
    assert!(hint.starts_with("hint: try again in ") && hint.ends_with(" ms, under a new lease id"), "{hint}");

    let denied = desk.ask("reserve slot=1 --json").await;
    let answer: serde_json::Value = serde_json::from_str(&denied.stdout).expect("JSON");
    assert_eq!((denied.code, denied.stderr.as_str(), &answer["allowed"]), (Some(3), "", &json!(false)));
    check_failed(&desk.ask("reserve rpm=61").await, 3, "denied: more is asked of `rpm` than its capacity\n");
    check_failed(&desk.ask("reserve none=1").await, 3, "denied: no limit has the key `none`\n");
}

#[tokio::test]
async fn a_reservation_that_waits_is_granted_when_there_is_room_and_denied_when_its_time_is_over() {
    let desk = Desk::open().await;
    let holder = desk.told("reserve slot=1 --wait 1").await;
    check_failed(&desk.ask("reserve slot=1 --wait 20").await, 3, "denied: there is no room now\n");

    let client = desk.server.client();
    let complete = async {
        within(PATIENCE_SECONDS, async {
            while client.read("/v1/status").await["waiters"] != 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        desk.told(&format!("complete {}", holder.trim_end())).await
    };
    let refused = desk.ask("reserve slot=1 --wait 600000").await;
    check_failed(&refused, 1, "error: Bad Request\n  `max_wait_ms` is 600000; use at most 300000\n");
    let (granted, _) = tokio::join!(desk.told("reserve slot=1 --wait 300000 --priority high"), complete);
    assert!(LeaseId::parse(granted.trim_end()).is_ok(), "{granted}");
    assert_ne!(granted, holder);
    assert_eq!(desk.free().await, [60, 0]);
}

#[tokio::test]
async fn the_status_is_a_summary_and_the_tree_of_actors() {
    let desk = Desk::open().await;
    desk.told("reserve rpm=1").await;
    let status = desk.told("status").await;
    for line in
        ["name         tollgate\n", "state        running\n", "backend      memory, healthy\n", "live leases  1\n"]
    {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    for actor in [
        "\ntollgate/root ",
        "\n  tollgate/registry ",
        "\n  tollgate/backend ",
        "\n  tollgate/limiters ",
        "\n  tollgate/api ",
    ] {
        assert!(status.contains(actor), "{actor} is not in\n{status}");
    }
    assert_eq!(desk.json("status").await["backend"]["live_leases"], 1);
}
