//! Starting and ending: several at once, names, shutdown, and what a data directory keeps.

use std::time::Duration;

use tollgate::Tollgate;
use tollgate::actors::Wait;
use tollgate::backends::Health;
use tollgate::clock::Clock;
use tollgate::policy::{LimitState, Reason};
use tollgate::tollgate::StartError;

use super::{available, start};
use crate::support::place::Place;
use crate::support::{checked, concurrency, key, request, rolling, sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn two_in_one_process_know_nothing_of_each_other() {
    within(1_000_000, async {
        let (one, two) = (start([concurrency("c", 1, 60)]).await, start([concurrency("c", 1, 60)]).await);
        let _lease = one.reserve(request(&[("c", 1)])).await.expect("it fits");
        assert_eq!((available(&one, "c").await, available(&two, "c").await), (0, 1));
        one.shutdown().await;
        drop(two.reserve(request(&[("c", 1)])).await.expect("it fits"));
        assert_ne!(one.status().name, two.status().name);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_until_its_owner_has_ended() {
    within(1_000_000, async {
        let named = || Tollgate::builder().name("only one").limit_fields(concurrency("c", 1, 60));
        let first = named().start().await.expect("it starts");
        let error = named().start().await.expect_err("the name is taken");
        assert!(matches!(error, StartError::Actors(..)), "{error}");
        assert!(error.to_string().contains("`only one`"), "{error}");
        drop(first.reserve(request(&[("c", 1)])).await.expect("the first one is untouched"));
        first.shutdown().await;
        first.ended().await;
        let second = named().start().await.expect("the name is free again");
        drop(second.reserve(request(&[("c", 1)])).await.expect("it fits"));
    })
    .await;
}

pub(crate) async fn shutting_down_refuses_what_is_new_and_completes_what_is_old(place: Place) {
    let tollgate = place.start([concurrency("c", 2, 60)]).await;
    let lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
    tollgate.shutdown().await;
    for answer in [
        tollgate.reserve(request(&[("c", 1)])).await,
        tollgate.acquire(request(&[("c", 1)]), Wait::at_most(Duration::from_secs(60))).await,
    ] {
        let refused = answer.expect_err("it is closed");
        assert_eq!(refused.reason, Reason::Overloaded);
        assert!(1 <= refused.retry_after_ms());
    }
    assert!(matches!(tollgate.health(), Health::Down(_)));
    assert_eq!((tollgate.status().state, tollgate.status().actors.state), ("stopping", "stopped"));
    let completed = lease.complete_with([]).await;
    if place.differs.lives_in_process {
        completed.expect("completed");
        assert_eq!(available(&tollgate, "c").await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn shutting_down_twice_is_shutting_down_once() {
    within(1_000_000, async {
        let tollgate = start([concurrency("c", 1, 60)]).await;
        let clock = Clock::start();
        tokio::join!(tollgate.shutdown(), tollgate.shutdown());
        tollgate.shutdown().await;
        tollgate.ended().await;
        assert_eq!(clock.now().as_nanos(), 0, "none of them waits for an actor that is gone");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changing_a_limit_after_the_end_fails_at_once() {
    within(1_000_000, async {
        let tollgate = start([concurrency("c", 1, 60)]).await;
        tollgate.shutdown().await;
        let clock = Clock::start();
        assert!(tollgate.put_limit(checked(concurrency("c", 2, 60))).await.is_err());
        assert_eq!(clock.now().as_nanos(), 0, "it does not wait for a registry that will not come back");
    })
    .await;
}

pub(crate) async fn the_last_handle_ends_every_actor(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 60), concurrency("t:{x}", 1, 60)]).await;
    let lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
    let actors = [
        tollgate.registry_actor().expect("it runs").get_cell(),
        tollgate.backend_actor().expect("it runs").get_cell(),
        tollgate.rate_limiter_actor(&key("c")).expect("it runs").get_cell(),
    ];
    let clone = tollgate.clone();
    drop(tollgate);
    sleep_ms(1_000).await;
    assert!(actors.iter().all(|actor| actor.get_status() == ractor::ActorStatus::Running), "a clone keeps them");
    drop(clone);
    for actor in &actors {
        actor.wait(None).await.expect("it ends");
    }
    let completed = lease.complete_with([]).await;
    if place.differs.lives_in_process {
        completed.expect("a lease can be completed though the actors are gone");
    }
}

pub(crate) async fn a_data_directory_keeps_limits_and_their_pending_decrease(place: Place) {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = || place.builder().data_dir(directory.path()).limit_fields(rolling("r", 10, 60));
    let first = kept().start().await.expect("it starts");
    let grant = first.reserve(request(&[("r", 8)])).await.expect("it fits").detach();
    assert!(matches!(first.put_limit(checked(rolling("r", 5, 60))).await, Ok(LimitState::Decreasing { .. })));
    first.put_limit(checked(concurrency("new", 3, 60))).await.expect("taken");
    first.shutdown().await;
    let second = kept().start().await.expect("it starts");
    let books_are_gone = place.differs.lives_in_process;
    let left = if books_are_gone { 5 } else { 2 }; // Of 10, which are lowered once 3 more are free.
    assert_eq!((available(&second, "new").await, available(&second, "r").await), (3, left), "the file is the truth");
    let known = second.lease(grant.lease_id).await.expect("it answers");
    assert_eq!(known.is_none(), books_are_gone, "{known:?}");
    second.shutdown().await;
}

#[cfg(not(feature = "tigerbeetle"))]
#[tokio::test]
async fn a_ledger_that_was_left_out_of_the_build_stops_the_start() {
    use tollgate::config::{BackendSettings, Settings, TigerBeetleSettings};
    let backend = BackendSettings::TigerBeetle(TigerBeetleSettings::default());
    let directory = tempfile::tempdir().expect("a directory");
    let builder = || Tollgate::builder().data_dir(directory.path()).limit_fields(rolling("r", 10, 60));
    let settings = Settings { backend, ..Settings::default() };
    let error = builder().settings(settings).start().await.expect_err("it is not there");
    assert!(matches!(error, StartError::Ledger(_)), "{error}");
    assert_eq!(error.to_string(), "this build has no TigerBeetle; build with `--features tigerbeetle`");
    builder().start().await.expect("it has let go of the directory").shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_file_stops_the_start_and_is_left_as_it_is() {
    within(1_000_000, async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("limits.json");
        std::fs::write(&path, "[{\"definition\":").expect("written");
        let error = Tollgate::builder().data_dir(directory.path()).start().await.expect_err("corrupt");
        assert!(matches!(error, StartError::Store(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "[{\"definition\":");
    })
    .await;
}
