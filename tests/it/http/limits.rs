//! Definitions and usages.

use std::collections::BTreeSet;

use serde_json::json;
use tollgate::Tollgate;
use tollgate::api::ServeOptions;
use tollgate::policy::DefinitionFields;

use super::server::{Server, concurrency, reserve, rolling};

#[tokio::test]
async fn a_definition_is_put_shown_changed_and_deleted() {
    let server = Server::start(&[]).await;
    let put = server.put("/v1/admin/limits", &rolling("a/b:c@d+e", 10)).await.done();
    assert_eq!(put, json!({"ok": true, "status": "active"}));
    let path = "/v1/admin/limits/a%2Fb:c@d+e";
    let shown = server.get(path).await.done();
    let definition = json!({"key": "a/b:c@d+e", "kind": "rolling", "capacity": 10, "window_seconds": 60,
        "overage": "debt", "mode": "enforce"});
    let entry = json!({"definition": definition, "status": "active", "pending_decrease_to": null,
        "version": shown["limit"]["version"]});
    assert_eq!(shown, json!({"limit": entry}));
    assert_eq!(server.get("/v1/admin/limits/a/b:c@d+e").await.done(), shown);
    assert_eq!(server.get("/v1/admin/limits").await.done(), json!({"limits": [entry]}));

    server.post("/v1/reserve", &reserve("a/b:c@d+e", 8)).await.done();
    let lowered = server.put("/v1/admin/limits", &rolling("a/b:c@d+e", 5)).await.done();
    assert_eq!(lowered, json!({"ok": true, "status": "decreasing"}));
    assert_eq!(server.get(path).await.done()["limit"]["pending_decrease_to"], 5);
    let refused = server.post("/v1/reserve", &reserve("a/b:c@d+e", 1)).await.done();
    assert_eq!(refused["error"], "limit_decreasing:a/b:c@d+e");
    let usage = server.get("/v1/limits/a/b:c@d+e").await.done();
    assert_eq!((&usage["status"], &usage["pending_decrease_to"]), (&json!("decreasing"), &json!(5)));

    assert_eq!(server.delete(path).await.done()["limit"]["definition"]["key"], "a/b:c@d+e");
    let told = "no definition has the key `a/b:c@d+e`; `GET /v1/admin/limits` lists those there are".to_owned();
    assert_eq!(server.get(path).await.problem(404), ("not_found".to_owned(), told.clone()));
    assert_eq!(server.delete(path).await.problem(404), ("not_found".to_owned(), told));
    server.stop().await;
}

#[tokio::test]
async fn definitions_that_contradict_are_conflicts() {
    let server = Server::start(&[rolling("a", 1), rolling("t:{x}", 1)]).await;
    let conflict = server.put("/v1/admin/limits", &concurrency("a", 1)).await.problem(409);
    assert_eq!(conflict.0, "kind_conflict");
    assert!(conflict.1.contains("`a` is a `rolling` limit"), "{}", conflict.1);
    let conflict = server.put("/v1/admin/limits", &rolling("t:{y}", 1)).await.problem(409);
    assert_eq!(conflict.0, "shape_conflict");
    assert!(conflict.1.contains("`t:{y}` covers the same keys as `t:{x}`"), "{}", conflict.1);
    let answer = server.put("/v1/admin/limits", &json!({"key": "b", "kind": "rolling", "capacity": 0})).await;
    assert_eq!(
        answer.problem(400).1,
        "`capacity` is 0; use at least 1; delete the limit to stop limiting | `window_seconds` is missing; give it, in \
         whole seconds from 1 to 3155760000"
    );
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2);
    let (_, detail) = server.get("/v1/admin/limits/a%20b").await.problem(400);
    assert!(detail.starts_with("`key` has ` ` at byte 1; "), "{detail}");
    assert_eq!(server.get("/v1/admin/limits/t:%7Bx%7D").await.done()["limit"]["definition"]["key"], "t:{x}");
    server.stop().await;
}

#[tokio::test]
async fn a_definition_that_cannot_be_saved_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = Tollgate::builder().data_dir(directory.path()).start().await.expect("starts");
    let server = Server::of(tollgate, ServeOptions::default()).await;
    directory.close().expect("removed");
    let (code, detail) = server.put("/v1/admin/limits", &rolling("a", 1)).await.problem(500);
    assert_eq!(code, "not_saved");
    assert!(detail.starts_with("could not save the limits, and so changed nothing: "), "{detail}");
    assert_eq!(server.get("/v1/admin/limits").await.done(), json!({"limits": []}));
    server.stop().await;
}

#[tokio::test]
async fn there_are_so_many_definitions_and_no_more() {
    let settings = tollgate::config::Settings { max_limits: 1, ..Default::default() };
    let fields: DefinitionFields = serde_json::from_value(rolling("a", 1)).expect("good fields");
    let tollgate = Tollgate::builder().settings(settings).limit_fields(fields).start().await.expect("starts");
    let server = Server::of(tollgate, ServeOptions::default()).await;
    assert_eq!(server.put("/v1/admin/limits", &rolling("b", 1)).await.problem(409).0, "too_many_limits");
    server.stop().await;
}

#[tokio::test]
async fn a_usage_says_what_is_taken() {
    let mut tokens = rolling("t:{tenant}", 100);
    tokens["unit"] = json!("tokens");
    tokens["mode"] = json!("shadow");
    let server = Server::start(&[tokens]).await;
    server.post("/v1/reserve", &reserve("t:acme", 70)).await.done();
    assert_eq!(server.post("/v1/reserve", &reserve("t:acme", 70)).await.done()["allowed"], true);
    assert_eq!(
        server.get("/v1/limits/t:acme").await.done(),
        json!({"key": "t:acme", "template": "t:{tenant}", "kind": "rolling", "unit": "tokens", "mode": "shadow",
            "overage": "debt", "capacity": 100, "used": 100, "available": 0, "withheld": 0, "debt": 0, "waiters": 0, "denied": 0,
            "would_deny": 1, "overage_total": 0, "status": "active", "pending_decrease_to": null,
            "paused_until": null})
    );
    let told = "no definition covers `other`; `PUT /v1/admin/limits` makes one".to_owned();
    assert_eq!(server.get("/v1/limits/other").await.problem(404), ("not_found".to_owned(), told));
    let (_, detail) = server.get("/v1/limits/t:%7Bx%7D").await.problem(400);
    assert!(detail.contains("a template, where one limit must be named"), "{detail}");
    server.stop().await;
}

#[tokio::test]
async fn usages_come_in_pages() {
    let limits: Vec<_> = (0..5).map(|n| rolling(&format!("limit:{n}"), 1)).collect();
    let server = Server::start(&limits).await;
    assert_eq!(server.get("/v1/limits").await.done()["next_cursor"], json!(null));
    let (mut path, mut keys, mut pages) = ("/v1/limits?limit=2".to_owned(), BTreeSet::new(), 0);
    loop {
        let page = server.get(&path).await.done();
        keys.extend(page["limits"].as_array().unwrap().iter().map(|limit| limit["key"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/limits?limit=2&cursor={cursor}");
    }
    assert_eq!((pages, keys.len()), (3, 5));
    for (query, told) in [
        ("limit=0", "`limit` is `0`; use 1 to 1000"),
        (
            "limit=1001&cursor=x",
            "`limit` is `1001`; use 1 to 1000 | `cursor` is `x`; use the `next_cursor` of the page before",
        ),
    ] {
        assert_eq!(server.get(&format!("/v1/limits?{query}")).await.problem(400).1, told);
    }
    let (_, detail) = server.get("/v1/limits?count=5").await.problem(400);
    assert!(detail.starts_with("`query` is refused: ") && detail.contains("unknown field `count`"), "{detail}");
    assert!(detail.ends_with("; this route takes `limit` and `cursor`"), "{detail}");
    server.stop().await;
}
