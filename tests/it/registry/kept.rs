//! What is kept over a restart.

use std::path::Path;

use serde_json::{Value, json};
use tollgate::Tollgate;
use tollgate::actors::Status;
use tollgate::policy::{LimitState, Reserve};

use super::{capacity, end, pattern, restart, rolling, saved, start};

#[tokio::test]
async fn definitions_changes_deletions_and_versions_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = start(directory.path()).await;
    for definition in
        [rolling("a", 10), rolling("b", 10), rolling("t:{x}", 10), rolling("a", 20), rolling("b", 5), rolling("c", 1)]
    {
        tollgate.put_limit(definition).await.expect("it is taken");
    }
    tollgate.delete_limit(&pattern("c")).await.expect("it is taken");
    let before = tollgate.limits().await.expect("it answers");
    let versions: Vec<_> = before.iter().map(|entry| (entry.definition.pattern.as_str(), entry.version)).collect();
    assert_eq!(versions, [("a", 4), ("b", 5), ("t:{x}", 3)]);
    assert_eq!(saved(directory.path()), json!(before).as_array().expect("a list").clone());

    let tollgate = restart(tollgate, directory.path()).await;
    assert_eq!(tollgate.limits().await.expect("it answers"), before);
    assert_eq!(capacity(&tollgate, "a").await, Some(20));
    assert_eq!(capacity(&tollgate, "b").await, Some(5));
    assert_eq!(capacity(&tollgate, "c").await, None);
    assert_eq!(capacity(&tollgate, "t:1").await, Some(10));

    tollgate.put_limit(rolling("a", 21)).await.expect("it is taken");
    let changed = tollgate.limit(&pattern("a")).await.expect("it answers").expect("it is there");
    assert!(5 < changed.version, "{changed:?}");
    end(&tollgate).await;
}

#[tokio::test]
async fn a_capacity_that_waits_to_be_lowered_is_lowered_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = start(directory.path()).await;
    tollgate.put_limit(rolling("a", 10)).await.expect("it is taken");
    let all = Reserve::of([("a", 10)]).expect("a good request");
    let lease = tollgate.reserve(all).await.expect("there is room").detach();
    let state = tollgate.put_limit(rolling("a", 4)).await.expect("it is taken");
    assert_ne!(state, LimitState::Active, "{lease:?} holds what is to go");
    let entry = &saved(directory.path())[0];
    assert_eq!((&entry["status"], &entry["pending_decrease_to"]), (&json!("decreasing"), &json!(4)), "{entry}");
    assert_eq!(entry["definition"]["capacity"], 10, "the old one is in force");

    // The books in memory are new, and nothing stands in its way.
    let tollgate = restart(tollgate, directory.path()).await;
    assert_eq!(capacity(&tollgate, "a").await, Some(4));
    let entry = tollgate.limit(&pattern("a")).await.expect("it answers").expect("it is there");
    assert_eq!((entry.status, entry.definition.capacity.get(), entry.pending_decrease_to), (Status::Active, 4, None));
    assert_eq!(saved(directory.path()), [json!(entry)]);
}

#[tokio::test]
async fn seeds_fill_an_empty_registry_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let seeded = async |capacity, key: &str| {
        let seeds = Tollgate::builder().limit(rolling("a", capacity)).limit(rolling(key, 1));
        seeds.data_dir(directory.path()).start().await.expect("it starts")
    };
    let tollgate = seeded(10, "b").await;
    tollgate.put_limit(rolling("a", 20)).await.expect("it is taken");
    let before = tollgate.limits().await.expect("it answers");
    end(&tollgate).await;
    let tollgate = seeded(30, "c").await;
    assert_eq!(tollgate.limits().await.expect("it answers"), before);
    assert_eq!((capacity(&tollgate, "a").await, capacity(&tollgate, "c").await), (Some(20), None));
}

async fn check_import(text: &str, keys: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("limits.json"), text).expect("it is written");
    let tollgate = Tollgate::builder().limit(rolling("seed", 1)).data_dir(directory.path()).start().await;
    let tollgate = tollgate.expect("it starts");
    let limits = tollgate.limits().await.expect("it answers");
    let found: Vec<_> = limits.iter().map(|entry| entry.definition.pattern.as_str()).collect();
    assert_eq!(found, keys);
    assert_eq!(std::fs::read_to_string(directory.path().join("limits.json")).expect("it is there"), text);
}

#[tokio::test]
async fn the_example_is_a_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/limits.json");
    let text = std::fs::read_to_string(path).expect("it is there");
    let keys = ["openai:gpt-4o:concurrency", "openai:gpt-4o:rpm"].map(|key| format!("global:llm:{key}"));
    check_import(&text, &[&keys[0], &keys[1], "tenant:{tenant}:llm:daily_tokens"]).await;
}

#[tokio::test]
async fn a_list_without_versions_and_later_fields_is_a_registry() {
    let entry = |definition: Value| json!({"definition": definition, "status": "active", "pending_decrease_to": 0});
    let rpm = json!({"key": "b", "kind": "rolling", "capacity": 9, "window_seconds": 60, "unit": "requests"});
    let slots = json!({"key": "a", "kind": "concurrency", "capacity": 2, "timeout_seconds": 60});
    check_import(&json!([entry(rpm.clone()), entry(slots.clone())]).to_string(), &["a", "b"]).await;
    check_import(&json!([{"definition": rpm}, {"definition": slots}]).to_string(), &["a", "b"]).await;
}

#[tokio::test]
async fn what_a_crash_left_half_written_does_no_harm() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = start(directory.path()).await;
    tollgate.put_limit(rolling("a", 10)).await.expect("it is taken");
    end(&tollgate).await;
    std::fs::write(directory.path().join("limits.json.new"), "[{\"definition\": {\"key\":").expect("it is written");
    let tollgate = start(directory.path()).await;
    assert_eq!(capacity(&tollgate, "a").await, Some(10));
    tollgate.put_limit(rolling("a", 11)).await.expect("it is taken");
    assert_eq!(saved(directory.path())[0]["definition"]["capacity"], 11);
    assert!(!directory.path().join("limits.json.new").exists());
}
