//! `tollgate breakers`.

use serde_json::Value;

use super::{Desk, check_failed};

#[tokio::test]
async fn breakers_are_shown_and_decided_for() {
    let desk = Desk::open().await;
    let header = "NAME  STATE  FAILURES  PROBES  RETRY AFTER MS  OPENED  REJECTED\n";
    assert_eq!(desk.told("breakers list").await, header);
    let client = desk.server.client();
    for _ in 0..2 {
        let (status, _) = client.ask("POST", "/v1/breakers/llm:a%2Fb/enter", &Value::Null).await;
        assert_eq!(status, 200);
    }
    let row = "llm:a/b  closed         0       0               0       0         0\n";
    assert!(desk.told("breakers list").await.ends_with(row));
    assert_eq!(desk.told("breakers open llm:a/b").await, "llm:a/b is forced_open\n");
    let shown = desk.told("breakers show llm:a/b").await;
    assert!(shown.contains("\noverride              forced_open\n"), "{shown}");
    assert_eq!(desk.told("breakers close llm:a/b").await, "llm:a/b is forced_closed\n");
    assert_eq!(desk.json("breakers disable llm:a/b").await["override"], "disabled");
    assert_eq!(desk.told("breakers reset llm:a/b").await, "llm:a/b is closed\n");
    assert_eq!(desk.json("breakers show llm:a/b").await["cause"], "reset");
    assert_eq!(desk.json("breakers list").await["breakers"][0]["name"], "llm:a/b");
    let told = "error: Not Found: no breaker `nobody` is known; it is made by its first call, or by `[[breakers]]`\n";
    for command in ["show", "open", "close", "disable", "reset"] {
        check_failed(&desk.ask(&format!("breakers {command} nobody")).await, 1, told);
    }
}
