//! A change is saved before it is in force, and one that cannot be saved is none.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::Tollgate;
use tollgate::actors::RegistryError;

use super::{capacity, end, pattern, rolling, saved, start};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_force_was_saved_before() {
    const CHANGES: u64 = 200;
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = start(directory.path()).await;
    tollgate.put_limit(rolling("a", 1)).await.expect("it is taken");
    let changing = tokio::spawn({
        let tollgate = tollgate.clone();
        async move {
            for capacity in 2..=CHANGES {
                tollgate.put_limit(rolling("a", capacity)).await.expect("it is taken");
            }
        }
    });
    within(60, async {
        let mut in_force = 0;
        while in_force < CHANGES {
            in_force = capacity(&tollgate, "a").await.expect("it is defined");
            let on_disk = saved(directory.path())[0]["definition"]["capacity"].as_u64().expect("a number");
            assert!(in_force <= on_disk, "{in_force} is in force, and {on_disk} is saved");
            tokio::task::yield_now().await;
        }
    })
    .await;
    changing.await.expect("no panic");
}

/// The registry as it is listed, as it decides, and as it was saved to `file`.
async fn everything(tollgate: &Tollgate, file: &Path) -> (Value, Vec<Option<u64>>, Vec<u8>) {
    let mut capacities = Vec::new();
    for key in ["a", "b", "new"] {
        capacities.push(capacity(tollgate, key).await);
    }
    let listed = json!(tollgate.limits().await.expect("it answers"));
    (listed, capacities, std::fs::read(file).expect("it is there"))
}

#[tokio::test]
async fn while_the_disk_is_gone_changes_are_refused_and_nothing_else_is() {
    let parent = tempfile::tempdir().expect("a directory");
    let (directory, gone) = (parent.path().join("data"), parent.path().join("gone"));
    let tollgate = start(&directory).await;
    for definition in [rolling("a", 10), rolling("b", 10)] {
        tollgate.put_limit(definition).await.expect("it is taken");
    }
    let before = everything(&tollgate, &directory.join("limits.json")).await;
    std::fs::rename(&directory, &gone).expect("it is moved away");
    for definition in [rolling("a", 20), rolling("a", 5), rolling("new", 1)] {
        let refused = tollgate.put_limit(definition).await.expect_err("it cannot be saved");
        assert!(matches!(refused, RegistryError::NotSaved(_)), "{refused:?}");
        assert!(refused.to_string().starts_with("could not save the limits, and so changed nothing: "), "{refused}");
    }
    let refused = tollgate.delete_limit(&pattern("a")).await.expect_err("it cannot be saved");
    assert!(matches!(refused, RegistryError::NotSaved(_)), "{refused:?}");
    tollgate.put_limit(rolling("a", 10)).await.expect("the same again is no change, and needs no disk");
    assert_eq!(everything(&tollgate, &gone.join("limits.json")).await, before);

    std::fs::rename(&gone, &directory).expect("it is moved back");
    assert_eq!(everything(&tollgate, &directory.join("limits.json")).await, before);
    tollgate.put_limit(rolling("new", 1)).await.expect("it is taken");
    tollgate.delete_limit(&pattern("a")).await.expect("it is taken");
    let tollgate = super::restart(tollgate, &directory).await;
    assert_eq!(everything(&tollgate, &directory.join("limits.json")).await.1, [None, Some(10), Some(1)]);
}

/// A registry in which a capacity waits to be lowered, on a disk that takes no more.
async fn lowered_on_a_full_disk(directory: &Path) -> Tollgate {
    let tollgate = start(directory).await;
    tollgate.put_limit(rolling("a", 10)).await.expect("it is taken");
    end(&tollgate).await;
    let mut entries = saved(directory);
    entries[0]["status"] = json!("decreasing");
    entries[0]["pending_decrease_to"] = json!(4);
    std::fs::write(directory.join("limits.json"), json!(entries).to_string()).expect("it is written");
    // What is to be written first is in the way.
    std::fs::create_dir(directory.join("limits.json.new")).expect("a new directory");
    start(directory).await
}

#[tokio::test]
async fn a_capacity_that_waits_to_be_lowered_is_lowered_also_when_that_cannot_be_saved() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = within(20, lowered_on_a_full_disk(directory.path())).await;
    assert_eq!(capacity(&tollgate, "a").await, Some(4));
    assert_eq!(saved(directory.path())[0]["status"], "decreasing", "it is lowered again at the next start");
    std::fs::remove_dir(directory.path().join("limits.json.new")).expect("it was there");
    tollgate.put_limit(rolling("a", 4)).await.expect("the same again catches up");
    assert_eq!(saved(directory.path())[0]["status"], "active");
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_saved_and_in_force_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = start(directory.path()).await;
    let put = tollgate.put_limit(rolling("a", 10));
    let _ = tokio::time::timeout(Duration::ZERO, put).await;
    within(20, async {
        while capacity(&tollgate, "a").await != Some(10) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(saved(directory.path())[0]["definition"]["capacity"], 10);
}
