//! `tollgate limits`.

use serde_json::json;

use super::{Desk, check_failed};

#[tokio::test]
async fn limits_are_made_shown_changed_and_deleted() {
    let desk = Desk::open().await;
    let put = "limits put --key a/b:c --kind token_bucket --capacity 50 --refill-amount 10 --refill-seconds 60";
    assert_eq!(desk.told(put).await, "`a/b:c` is active\n");
    assert_eq!(
        desk.told("limits list").await,
        concat!(
            "KEY    KIND          CAPACITY  AVAILABLE  WINDOW  UNIT      OVERAGE  MODE     STATUS\n",
            "a/b:c  token_bucket        50         50  10/1m   -         debt     enforce  active\n",
            "rpm    rolling             60         60  1m      requests  debt     enforce  active\n",
            "slot   concurrency          1          1  10m     -         debt     enforce  active\n",
        )
    );
    assert_eq!(
        desk.told("limits get a/b:c").await,
        concat!(
            "key         a/b:c\n",
            "kind        token_bucket\n",
            "capacity    50\n",
            "window      10/1m\n",
            "overage     debt\n",
            "mode        enforce\n",
            "status      active\n",
            "version     3\n",
            "used        0\n",
            "available   50\n",
            "withheld    0\n",
            "debt        0\n",
            "waiters     0\n",
            "denied      0\n",
            "would_deny  0\n",
        )
    );
    assert_eq!(desk.told("limits delete a/b:c").await, "deleted `a/b:c`\n");
    check_failed(&desk.ask("limits get a/b:c").await, 1, "error: Not Found: no definition has the key `a/b:c`");
    check_failed(&desk.ask("limits delete a/b:c").await, 1, "error: Not Found: no definition has the key `a/b:c`");
}

#[tokio::test]
async fn json_is_what_the_server_says() {
    let desk = Desk::open().await;
    let put = "limits put --key t:{x} --kind rolling --capacity 5 --window-seconds 1 --mode shadow --description d";
    assert_eq!(desk.json(put).await, json!({"ok": true, "status": "active"}));
    let client = desk.server.client();
    assert_eq!(desk.json("limits list").await, client.read("/v1/admin/limits").await);
    let limit = desk.json("limits get t:{x}").await;
    assert_eq!(limit["limit"]["definition"]["mode"], "shadow");
    assert_eq!(desk.json("limits delete t:{x}").await, limit, "what was deleted is shown");
}

#[tokio::test]
async fn what_a_limit_answers_without_its_ledger_is_put_and_shown() {
    let desk = Desk::open().await;
    let put = "limits put --key a --kind rolling --capacity 5 --window-seconds 60 --when-unavailable";
    desk.told(&format!("{put} local_share --local-share-percent 25")).await;
    let shown = desk.told("limits get a").await;
    assert!(shown.contains("\nwhen_unavailable  local_share of 25 %\n"), "{shown}");
    desk.told(&format!("{put} deny")).await;
    let shown = desk.told("limits get a").await;
    assert!(!shown.contains("unavailable"), "what is the default needs no line: {shown}");
    let refused = desk.ask(&format!("{put} allow --local-share-percent 25")).await;
    check_failed(&refused, 1, "error: Bad Request\n");
    let told =
        "`local_share_percent` contradicts `when_unavailable` = `allow`; remove it, or set `when_unavailable` to";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
}

#[tokio::test]
async fn a_capacity_that_must_wait_to_be_lowered_says_so() {
    let desk = Desk::open().await;
    desk.told("reserve rpm=60").await;
    let put = "limits put --key rpm --kind rolling --capacity 10 --window-seconds 60 --unit requests";
    assert_eq!(desk.told(put).await, "`rpm` is decreasing\n");
    let listed = desk.told("limits list").await;
    assert!(listed.contains("enforce  decreasing to 10\n"), "{listed}");
    check_failed(&desk.ask("reserve rpm=1").await, 3, "denied: the capacity of `rpm` is being lowered\n");
}

#[tokio::test]
async fn limits_come_from_files_and_from_stdin_bare_or_as_they_were_listed() {
    let desk = Desk::open().await;
    let rolling = |key: &str| json!({"key": key, "kind": "rolling", "capacity": 5, "window_seconds": 60});
    let file = desk._home.path().join("some.json");
    std::fs::write(&file, json!([rolling("a"), {"definition": rolling("b"), "version": 9}]).to_string())
        .expect("written");
    let put = format!("limits put {}", file.display());
    assert_eq!(desk.told(&put).await, "`a` is active\n`b` is active\n");
    let ended = desk.tell("limits put -", &rolling("c").to_string()).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "`c` is active\n"), "{ended:?}");

    let listed = desk.json("limits list").await;
    assert_eq!(listed["limits"].as_array().map(Vec::len), Some(5));
    let ended = desk.tell("limits put -", &listed["limits"].to_string()).await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 5), "{ended:?}");
    assert_eq!(desk.json("limits list").await, listed, "the same again changes nothing");
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_every_mistake() {
    let desk = Desk::open().await;
    let refused = desk.ask("limits put --key a --kind rolling --capacity 0 --refill-amount 1").await;
    check_failed(&refused, 1, "error: Bad Request\n");
    for field in ["  `capacity` is 0; ", "  `window_seconds` is missing; ", "  `refill_amount` "] {
        assert_eq!(refused.stderr.matches(field.trim()).count(), 1, "{field} is to be told once: {}", refused.stderr);
    }
    let refused = desk.ask("limits put --key rpm --kind concurrency --capacity 1 --timeout-seconds 1").await;
    check_failed(
        &refused,
        1,
        "error: Conflict: `rpm` is a `rolling` limit, and the kind of an existing limit can't change",
    );

    let some =
        json!([{"key": "a", "kind": "rolling", "capacity": 1, "window_seconds": 1}, {"key": "b", "kind": "rolling"}]);
    let refused = desk.tell("limits put -", &some.to_string()).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), "`a` is active\n"), "{refused:?}");
    assert!(refused.stderr.starts_with("error: `b`, after 1 of 2 limits were put: "), "{}", refused.stderr);
    check_failed(&desk.tell("limits put -", "[").await, 2, "error: `-` is not JSON: ");
    check_failed(&desk.ask("limits put /no/such.json").await, 2, "error: `/no/such.json` cannot be read: ");
}
