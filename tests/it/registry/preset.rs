//! The limits of a preset are there from the start, also beside saved ones.

use std::num::NonZeroU64;
use std::path::Path;

use tollgate::Tollgate;
use tollgate::config::Settings;
use tollgate::policy::{Preset, Reserve, UsdMicros};
use tollgate::tollgate::StartError;

use super::{capacity, end, pattern, rolling, saved};
use crate::support::within;

const PER_MINUTE: &str = Preset::KEYS[0];
const PER_HOUR: &str = Preset::KEYS[1];
const COST: &str = Preset::KEYS[2];

fn preset(per_minute: u64) -> Settings {
    let budget = UsdMicros::parse("2.50").expect("dollars");
    let preset = Preset::new(NonZeroU64::new(per_minute), NonZeroU64::new(100), Some(budget)).expect("a preset");
    Settings { preset: Some(preset), ..Settings::default() }
}

async fn try_start(directory: &Path, settings: Settings) -> Result<Tollgate, StartError> {
    let builder = Tollgate::builder().settings(settings).limit(rolling("seed", 1)).data_dir(directory);
    within(20, builder.start()).await
}

async fn keys(tollgate: &Tollgate) -> Vec<String> {
    let limits = tollgate.limits().await.expect("it answers");
    limits.iter().map(|entry| entry.definition.pattern.to_string()).collect()
}

#[tokio::test]
async fn a_preset_is_saved_with_the_seeds_and_in_force() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = try_start(directory.path(), preset(3)).await.expect("it starts");
    assert_eq!(keys(&tollgate).await, [COST, PER_HOUR, PER_MINUTE, "seed"]);
    assert_eq!(saved(directory.path()).len(), 4);
    assert_eq!(capacity(&tollgate, COST).await, Some(2_500_000));
    let call = || Reserve::of([(PER_MINUTE, 1), (PER_HOUR, 1), (COST, 1_000)]).expect("a good request");
    for _ in 0..3 {
        let lease = tollgate.reserve(call()).await.expect("there is room");
        let _ = lease.detach();
    }
    let refusal = tollgate.reserve(call()).await.expect_err("three a minute");
    assert_eq!(refusal.denied.iter().map(|denied| denied.key.as_str()).collect::<Vec<_>>(), [PER_MINUTE]);
    end(&tollgate).await;
}

#[tokio::test]
async fn what_is_saved_already_is_kept_and_the_rest_is_added() {
    let directory = tempfile::tempdir().expect("a directory");
    let without = Settings::default;
    let tollgate = try_start(directory.path(), without()).await.expect("it starts");
    assert_eq!(keys(&tollgate).await, ["seed"]);
    tollgate.put_limit(rolling(COST, 7)).await.expect("it is taken");
    tollgate.delete_limit(&pattern("seed")).await.expect("it is taken");
    end(&tollgate).await;

    let tollgate = try_start(directory.path(), preset(60)).await.expect("it starts");
    assert_eq!(keys(&tollgate).await, [COST, PER_HOUR, PER_MINUTE], "a seed that was deleted stays so");
    assert_eq!((capacity(&tollgate, COST).await, capacity(&tollgate, PER_MINUTE).await), (Some(7), Some(60)));
    end(&tollgate).await;

    let tollgate = try_start(directory.path(), preset(90)).await.expect("it starts");
    assert_eq!(capacity(&tollgate, PER_MINUTE).await, Some(60), "the file is the truth");
    end(&tollgate).await;

    let tollgate = try_start(directory.path(), without()).await.expect("it starts");
    assert_eq!(keys(&tollgate).await, [COST, PER_HOUR, PER_MINUTE], "who removes a preset deletes its limits");
    end(&tollgate).await;
}

#[tokio::test]
async fn a_preset_that_has_no_room_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = try_start(directory.path(), Settings { max_limits: 3, ..preset(60) }).await.expect_err("no room");
    assert_eq!(
        error.to_string(),
        "there are 3 limits, which is as many as `registry.max_limits` allows; delete one, use a template, or raise it"
    );
    assert!(!directory.path().join("limits.json").exists(), "nothing is half saved");
}
