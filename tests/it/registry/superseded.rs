//! Definitions that another server has changed in the ledger they share.

use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use tollgate::Tollgate;
use tollgate::actors::{CallError, RegistryError};
use tollgate::backends::{Applied, Backend, Observer, Registered};
use tollgate::policy::{Definition, LimitState};

use super::{capacity, end, pattern, rolling, saved, start};
use crate::support::remote::Remote;
use crate::support::{key, sleep_ms, within};

async fn change_elsewhere(remote: &Remote, definition: Definition, version: u64) {
    let registered = Arc::new(Registered { definition, version });
    let applied = remote.far().apply(&registered).get().await;
    assert_eq!(applied, Ok(Applied::InForce(LimitState::Active)));
}

#[tokio::test]
async fn a_newer_definition_is_kept_at_the_start_and_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = start(directory.path()).await;
    for key in ["a", "t:{x}"] {
        before.put_limit(rolling(key, 10)).await.expect("it is taken");
    }
    end(&before).await;

    let remote = Remote::default();
    let ledger = remote.ledger();
    let made = remote.clone();
    let builder = Tollgate::builder().data_dir(directory.path()).ledger(move |clock, observer| {
        let ledger = ledger(clock, observer);
        for key in ["a", "t:{x}"] {
            let registered = Arc::new(Registered { definition: rolling(key, 99), version: 7 });
            drop(made.far().apply(&registered));
        }
        ledger
    });
    let tollgate = within(20, builder.start()).await.expect("it starts");
    assert_eq!((capacity(&tollgate, "a").await, capacity(&tollgate, "t:1").await), (Some(99), Some(99)));
    let superseded = tollgate.limits().await.expect("it answers");
    assert!(superseded.iter().all(|entry| entry.superseded_by_version == Some(7)), "{superseded:?}");
    assert_eq!(tollgate.status().backend.superseded, 2);
    assert!(saved(directory.path()).iter().all(|entry| entry.get("superseded_by_version").is_none()));

    // A person's change is the newest, also one that only repeats what was saved.
    let same = tollgate.put_limit(rolling("a", 10)).await;
    assert_eq!(same, Ok(LimitState::Active));
    let other = tollgate.put_limit(rolling("t:{x}", 11)).await;
    assert_eq!(other, Ok(LimitState::Active));
    assert_eq!((capacity(&tollgate, "a").await, capacity(&tollgate, "t:1").await), (Some(10), Some(11)));
    let versions: Vec<_> = saved(directory.path()).iter().map(|entry| entry["version"].as_u64()).collect();
    assert_eq!(versions, [Some(8), Some(9)]);
    assert_eq!(tollgate.status().backend.superseded, 0);
    let entry = tollgate.limit(&pattern("a")).await.expect("it answers").expect("it is saved");
    assert_eq!((entry.version, entry.superseded_by_version), (8, None));
}

#[tokio::test]
async fn a_change_that_others_keep_outbidding_is_given_up() {
    let (directory, remote) = (tempfile::tempdir().expect("a directory"), Remote::default());
    let builder = Tollgate::builder().data_dir(directory.path()).ledger(remote.ledger());
    let tollgate = within(20, builder.start()).await.expect("it starts");
    change_elsewhere(&remote, rolling("a", 99), u64::MAX).await;
    let told = tollgate.put_limit(rolling("a", 10)).await.expect_err("no version is newer");
    assert_eq!(
        told.to_string(),
        "`a` is saved, but not in force: other servers change it at the same time; put it again"
    );
    assert_eq!((capacity(&tollgate, "a").await, tollgate.status().backend.superseded), (Some(99), 1));
    tollgate.delete_limit(&pattern("a")).await.expect("it is taken out").expect("it was there");
    assert_eq!((capacity(&tollgate, "a").await, tollgate.status().backend.superseded), (None, 0));
}

/// The version that the registry knows to be in force instead of the one that is saved.
async fn newer_version(tollgate: &Tollgate, key: &str) -> Option<u64> {
    tollgate.limit(&pattern(key)).await.expect("it answers").expect("it is saved").superseded_by_version
}

#[tokio::test(start_paused = true)]
async fn a_change_during_the_start_is_seen_after_it() {
    // A template: nobody serves a line of it, who would send the registry a message of its own.
    let directory = tempfile::tempdir().expect("a directory");
    let before = start(directory.path()).await;
    before.put_limit(rolling("t:{x}", 10)).await.expect("it is taken");
    end(&before).await;

    let remote = Remote::default();
    remote.set_delay_ms(1_000);
    let (ledger, there) = (remote.ledger(), remote.clone());
    let builder = Tollgate::builder().data_dir(directory.path()).ledger(move |clock, observer| {
        let ledger = ledger(clock, Arc::clone(&observer));
        tokio::spawn(async move {
            while there.far().definition_of(&key("t:1")).is_none() {
                sleep_ms(20).await;
            }
            change_elsewhere(&there, rolling("t:{x}", 99), 7).await;
            observer.changed_elsewhere(&pattern("t:{x}"));
        });
        ledger
    });
    let tollgate = within(20, builder.start()).await.expect("it starts");
    assert_eq!(capacity(&tollgate, "t:1").await, Some(99), "it was changed before the start was over");
    sleep_ms(5_000).await;
    assert_eq!(newer_version(&tollgate, "t:{x}").await, Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_finds_the_queue_full_is_seen_when_there_is_room() {
    let (remote, observer) = (Remote::default(), Arc::new(OnceLock::new()));
    let (ledger, given) = (remote.ledger(), Arc::clone(&observer));
    let builder = Tollgate::builder().ledger(move |clock, observer: Arc<dyn Observer>| {
        assert!(given.set(Arc::clone(&observer)).is_ok(), "one ledger");
        ledger(clock, observer)
    });
    let tollgate = within(20, builder.start()).await.expect("it starts");
    tollgate.put_limit(rolling("a", 10)).await.expect("it is taken");
    change_elsewhere(&remote, rolling("a", 99), 7).await;

    // Its actor has a message in hand, and as many in its queue as it may.
    remote.set_delay_ms(1_000);
    let (a, b) = (pattern("a"), rolling("b", 10));
    let change = async {
        sleep_ms(500).await;
        let one_more = tollgate.limit(&a).await.expect_err("there is no room");
        assert_eq!(one_more, RegistryError::Unavailable(CallError::Overloaded.to_string()));
        observer.get().expect("it was made").changed_elsewhere(&a);
    };
    let asked = join_all((0..1_024).map(|_| async {
        sleep_ms(100).await;
        tollgate.limit(&a).await
    }));
    let (put, asked, ()) = tokio::join!(tollgate.put_limit(b), asked, change);
    assert_eq!((put, asked.iter().all(Result::is_ok)), (Ok(LimitState::Active), true));
    sleep_ms(5_000).await;
    assert_eq!(newer_version(&tollgate, "a").await, Some(7));
}
