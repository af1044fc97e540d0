//! A ledger that is away: nothing that was saved is lost, and it is put in force by itself.

use std::path::Path;
use std::sync::Arc;

use tollgate::Tollgate;
use tollgate::actors::RegistryError;
use tollgate::backends::{Backend, Registered};

use super::{capacity, end, pattern, rolling, saved, start};
use crate::support::remote::{Line, Remote};
use crate::support::{request, sleep_ms, within};

async fn start_remote(directory: &Path, remote: &Remote) -> Tollgate {
    within(20, Tollgate::builder().data_dir(directory).ledger(remote.ledger()).start()).await.expect("it starts")
}

/// How many definitions are not in force.
fn missing(tollgate: &Tollgate) -> u64 {
    tollgate.status().backend.not_in_force
}

#[tokio::test(start_paused = true)]
async fn a_start_goes_on_without_the_ledger_and_puts_all_in_force_when_it_is_back() {
    const LIMITS: u64 = 200;
    let directory = tempfile::tempdir().expect("a directory");
    let before = start(directory.path()).await;
    for at in 0..LIMITS {
        before.put_limit(rolling(&format!("l:{at}"), 10)).await.expect("it is taken");
    }
    end(&before).await;

    let remote = Remote::default();
    remote.set(Line::Away);
    let tollgate = start_remote(directory.path(), &remote).await;
    assert_eq!(missing(&tollgate), LIMITS);
    sleep_ms(60_000).await;
    assert_eq!((missing(&tollgate), tollgate.status().actors.children[0].restarts), (LIMITS, 0));
    let entry = tollgate.limit(&pattern("l:7")).await.expect("it answers").expect("it is saved");
    assert_eq!(entry.not_in_force.as_deref(), Some("the line is cut"));

    remote.set(Line::Up);
    sleep_ms(2_500).await;
    assert_eq!(missing(&tollgate), 0);
    assert_eq!(capacity(&tollgate, "l:199").await, Some(10));
    assert!(tollgate.limits().await.expect("it answers").iter().all(|entry| entry.not_in_force.is_none()));
    end(&tollgate).await;
    assert_eq!(remote.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_are_saved_while_it_is_away_and_made_when_it_is_back() {
    let (directory, remote) = (tempfile::tempdir().expect("a directory"), Remote::default());
    let tollgate = start_remote(directory.path(), &remote).await;
    for key in ["a", "b"] {
        tollgate.put_limit(rolling(key, 10)).await.expect("it is taken");
    }
    remote.set(Line::Away);
    let told = tollgate.put_limit(rolling("a", 20)).await;
    assert_eq!(
        told,
        Err(RegistryError::NotYetInForce(
            "`a` is saved, and will be in force as soon as the ledger answers (the line is cut)".to_owned()
        ))
    );
    let told = tollgate.delete_limit(&pattern("b")).await;
    assert_eq!(
        told,
        Err(RegistryError::NotYetInForce(
            "`b` is deleted, and will be out of force as soon as the ledger answers (the line is cut)".to_owned()
        ))
    );
    tollgate.put_limit(rolling("c", 10)).await.expect_err("it is away");
    let states = saved(directory.path()).into_iter().map(|entry| entry["status"].clone()).collect::<Vec<_>>();
    assert_eq!(states, ["active", "active", "deleted"], "`a`, `c`, and `b`, which is to be taken out");
    assert_eq!(missing(&tollgate), 3);
    sleep_ms(10_000).await;

    remote.set(Line::Up);
    assert_eq!(capacity(&tollgate, "a").await, Some(10));
    sleep_ms(2_500).await;
    let capacities = [capacity(&tollgate, "a").await, capacity(&tollgate, "b").await, capacity(&tollgate, "c").await];
    assert_eq!((capacities, missing(&tollgate)), ([Some(20), None, Some(10)], 0));
    assert_eq!(saved(directory.path()).len(), 2, "`b` is forgotten");
}

#[tokio::test]
async fn what_was_deleted_while_it_was_away_is_taken_out_after_a_restart() {
    let (directory, remote) = (tempfile::tempdir().expect("a directory"), Remote::default());
    let before = start_remote(directory.path(), &remote).await;
    for key in ["a", "t:{x}"] {
        before.put_limit(rolling(key, 10)).await.expect("it is taken");
    }
    remote.set(Line::Away);
    for key in ["a", "t:{x}"] {
        before.delete_limit(&pattern(key)).await.expect_err("it is away");
    }
    end(&before).await;

    let remote = Remote::default();
    let (ledger, there) = (remote.ledger(), remote.clone());
    let builder = Tollgate::builder().data_dir(directory.path()).ledger(move |clock, observer| {
        let ledger = ledger(clock, observer);
        for (key, version) in [("a", 1), ("t:{x}", 2)] {
            let registered = Arc::new(Registered { definition: rolling(key, 10), version });
            drop(there.far().apply(&registered));
        }
        ledger
    });
    let tollgate = within(20, builder.start()).await.expect("it starts");
    assert_eq!((capacity(&tollgate, "a").await, capacity(&tollgate, "t:1").await), (None, None));
    assert_eq!((saved(directory.path()).len(), missing(&tollgate)), (0, 0));
    end(&tollgate).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_was_lost_is_made_once() {
    let (directory, remote) = (tempfile::tempdir().expect("a directory"), Remote::default());
    let tollgate = start_remote(directory.path(), &remote).await;
    tollgate.put_limit(rolling("a", 10)).await.expect("it is taken");
    let held = tollgate.reserve(request(&[("a", 8)])).await.expect("room");
    remote.set(Line::Deaf);
    tollgate.put_limit(rolling("a", 5)).await.expect_err("nobody knows");
    remote.set(Line::Up);
    sleep_ms(2_500).await;
    let entry = tollgate.limit(&pattern("a")).await.expect("it answers").expect("it is saved");
    assert_eq!((missing(&tollgate), entry.pending_decrease_to.map(u64::from)), (0, Some(5)));
    // The decrease is applied, and nobody can say so.
    remote.set(Line::Deaf);
    sleep_ms(61_000).await;
    remote.set(Line::Up);
    sleep_ms(5_000).await;
    let entry = tollgate.limit(&pattern("a")).await.expect("it answers").expect("it is saved");
    assert_eq!((entry.definition.capacity.get(), entry.pending_decrease_to), (5, None));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_silent_ledger_keeps_nobody_waiting() {
    let (directory, remote) = (tempfile::tempdir().expect("a directory"), Remote::default());
    let tollgate = start_remote(directory.path(), &remote).await;
    remote.set_delay_ms(3_600_000);
    let told = within(5, tollgate.put_limit(rolling("a", 10))).await;
    assert_eq!(
        told.expect_err("no answer").to_string(),
        "`a` is saved, and will be in force as soon as the ledger answers (the ledger gave no answer in 4 s)"
    );
    remote.set_delay_ms(0);
    sleep_ms(6_000).await;
    assert_eq!(missing(&tollgate), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_and_not_yet_taken_out_keeps_its_place() {
    let (directory, remote) = (tempfile::tempdir().expect("a directory"), Remote::default());
    let settings = tollgate::config::Settings { max_limits: 2, ..Default::default() };
    let builder = Tollgate::builder().settings(settings).data_dir(directory.path()).ledger(remote.ledger());
    let tollgate = builder.start().await.expect("it starts");
    tollgate.put_limit(rolling("a", 10)).await.expect("it is taken");
    remote.set(Line::Away);
    for at in 0..2 {
        tollgate.delete_limit(&pattern("a")).await.expect_err("it is away");
        let another = tollgate.put_limit(rolling(&format!("b:{at}"), 10)).await.expect_err("it is away or full");
        assert_eq!(matches!(another, RegistryError::TooManyLimits { .. }), at == 1, "{another}");
    }
    remote.set(Line::Up);
    sleep_ms(5_000).await;
    tollgate.put_limit(rolling("b:1", 10)).await.expect("there is room again");
}
