//! What happens when two things happen at once: nobody waits for ever, and no part dies of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{ActorCell, ActorRef};
use tollgate::actors::{ActorStatus, Entry, LimitersMessage};
use tollgate::backends::memory::MemoryLedger;
use tollgate::backends::{Backend, Observer, Registered};
use tollgate::clock::Clock;
use tollgate::config::Settings;
use tollgate::policy::{Amounts, Complete, DefinitionFields, Key, Reason, Reserve};
use tollgate::{Tollgate, Wait};

use crate::support::within;

fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}

fn concurrency(key: &str, capacity: u64) -> DefinitionFields {
    let (kind, timeout_seconds) = ("concurrency".into(), Some(60));
    DefinitionFields { key: key.into(), kind, capacity, timeout_seconds, ..Default::default() }
}

fn one(key: &str) -> Reserve {
    Reserve::of([(key, 1)]).expect("a good request")
}

fn seconds(seconds: u64) -> Wait {
    Wait::at_most(Duration::from_secs(seconds))
}

#[expect(clippy::disallowed_methods, reason = "reaches actors from outside, as nobody else does")]
fn cell(tollgate: &Tollgate, actor: &str) -> Option<ActorCell> {
    ractor::registry::where_is(format!("{}/{actor}", tollgate.status().name))
}

fn part(tollgate: &Tollgate, name: &str) -> ActorStatus {
    let parts = tollgate.status().actors.children;
    parts.into_iter().find(|part| part.name.ends_with(name)).expect("it is shown")
}

async fn until(seconds: u64, mut holds: impl FnMut() -> bool) {
    within(seconds, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn available(tollgate: &Tollgate, text: &str) -> u64 {
    tollgate.usage(&key(text)).await.expect("it answers").expect("it is defined").usage.available
}

#[tokio::test]
async fn a_restart_that_is_no_longer_wanted_leaves_nothing_behind() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("t:{x}", 1)).start().await.expect("it starts");
    let limiters: ActorRef<LimitersMessage> = cell(&tollgate, "limiters").expect("it runs").into();
    limiters.cast(LimitersMessage::Restart(key("t:a"))).expect("it runs");
    let held = tollgate.reserve(one("t:a")).await.expect("there is room");
    let waiting = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.acquire(one("t:a"), seconds(3)).await }
    });
    until(2, || tollgate.waiting() == 1).await;
    drop(held);
    drop(within(1, waiting).await.expect("it ran").expect("its turn came"));
}

#[tokio::test]
async fn a_restart_of_one_that_runs_is_no_failure() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("c", 1)).start().await.expect("it starts");
    let limiters: ActorRef<LimitersMessage> = cell(&tollgate, "limiters").expect("it runs").into();
    limiters.cast(LimitersMessage::Restart(key("c"))).expect("it runs");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(part(&tollgate, "limiters").restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_while_the_supervisor_restarts_is_served() {
    let limits = (0..500).map(|n| concurrency(&format!("c{n}"), 1)).chain([concurrency("t:{x}", 1)]);
    let builder = limits.fold(Tollgate::builder(), |builder, limit| builder.limit_fields(limit));
    let tollgate = builder.start().await.expect("it starts");
    let mut load = tokio::task::JoinSet::new();
    for instance in 0..4 {
        let tollgate = tollgate.clone();
        load.spawn(async move {
            for round in 0..300 {
                let key = format!("t:{instance}-{round}");
                let held = tollgate.reserve(one(&key)).await.expect("there is room");
                let (waiter, wanted) = (tollgate.clone(), one(&key));
                let waiting = tokio::spawn(async move { waiter.acquire(wanted, seconds(20)).await });
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(held);
                drop(within(3, waiting).await.expect("it ran").expect("its turn comes"));
            }
        });
    }
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        if let Some(limiters) = cell(&tollgate, "limiters") {
            limiters.kill();
        }
    }
    while let Some(served) = load.join_next().await {
        served.expect("all were served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_saved_is_in_force_after_the_registry_died_over_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let tollgate = Tollgate::builder().data_dir(directory.path()).start().await.expect("it starts");
    for round in 0..10 {
        let limit = concurrency(&format!("c{round}"), 1).check().expect("good");
        let pattern = limit.pattern.clone();
        tollgate.put_limit(limit).await.expect("it is accepted");
        let (deleter, deleted) = (tollgate.clone(), pattern.clone());
        let deleting = tokio::spawn(async move { deleter.delete_limit(&deleted).await });
        tokio::time::sleep(Duration::from_micros(200 * round)).await;
        cell(&tollgate, "registry").expect("it runs").kill();
        let _ = deleting.await.expect("it ran");
        let is_saved = within(5, tollgate.limit(&pattern)).await.expect("it answers").is_some();
        let is_in_force = tollgate.reserve(one(pattern.as_str())).await.is_ok();
        assert_eq!(is_saved, is_in_force, "round {round}");
    }
}

#[tokio::test]
async fn a_second_shutdown_finds_nothing_to_do() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("c", 1)).start().await.expect("it starts");
    tollgate.shutdown().await;
    within(1, tollgate.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decreases_that_are_all_applied_at_once_are_all_recorded() {
    let keys: Vec<_> = (0..1_200).map(|n| format!("c{n}")).collect();
    let limits = keys.iter().map(|key| concurrency(key, 2));
    let builder = limits.fold(Tollgate::builder(), |builder, limit| builder.limit_fields(limit));
    let tollgate = builder.start().await.expect("it starts");
    let mut leases = Vec::new();
    for key in &keys {
        let both = Reserve::of([(key.as_str(), 2)]).expect("a good request");
        leases.push(tollgate.reserve(both).await.expect("there is room"));
        tollgate.put_limit(concurrency(key, 1).check().expect("good")).await.expect("it is accepted");
    }
    drop(leases);
    within(30, async {
        let is_recorded = |limits: Vec<Entry>| limits.iter().all(|limit| limit.pending_decrease_to.is_none());
        while !tollgate.limits().await.is_ok_and(is_recorded) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_grant_that_two_calls_share_is_not_given_back_when_one_of_them_leaves() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("c", 1)).start().await.expect("it starts");
    let held = tollgate.reserve(one("c")).await.expect("there is room");
    let request = one("c");
    let wait = seconds(10);
    let mut abandoned = Box::pin(tollgate.acquire(request.clone(), wait));
    assert!(futures_util::poll!(&mut abandoned).is_pending());
    let mut retried = Box::pin(tollgate.acquire(request.clone(), wait));
    assert!(futures_util::poll!(&mut retried).is_pending());
    drop(held);
    while tollgate.waiting() != 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(abandoned);
    let lease = within(2, retried).await.expect("it was granted");
    assert_eq!(available(&tollgate, "c").await, 0);
    drop(lease);
    assert_eq!(available(&tollgate, "c").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_an_actor_that_has_just_died_waits_for_the_next_one() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("c", 1)).start().await.expect("it starts");
    for _ in 0..10 {
        cell(&tollgate, "registry").expect("it runs").kill();
        tokio::task::yield_now().await;
        assert_eq!(within(5, tollgate.limits()).await.expect("it answers").len(), 1);
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Freed(Mutex<Vec<Key>>);

impl Observer for Freed {
    fn capacity_freed(&self, key: &Key) {
        self.0.lock().expect("nobody panics").push(key.clone());
    }
}

#[tokio::test]
async fn an_instance_that_comes_back_while_it_is_watched_is_still_watched() {
    let freed = Arc::new(Freed::default());
    let ledger = MemoryLedger::new(Clock::start(), &Settings::default(), Arc::<Freed>::clone(&freed));
    let definition = concurrency("t:{x}", 1).check().expect("good");
    ledger.apply(&Arc::new(Registered { definition, version: 1 })).get().await.expect("it answers");
    ledger.watch(&key("t:a"), true);
    while ledger.sweep() {}
    let request = one("t:a");
    ledger.reserve(&request).get().await.expect("there is room");
    let complete = Complete { lease_id: request.lease_id, actuals: Amounts::default() };
    ledger.complete(&complete).get().await.expect("it completes");
    assert_eq!(*freed.0.lock().expect("nobody panics"), [key("t:a")]);
}

#[tokio::test]
async fn instances_that_were_watched_when_the_supervisor_died_are_dropped_when_idle() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("t:{x}", 1)).start().await.expect("it starts");
    let (mut held, mut waiting) = (Vec::new(), tokio::task::JoinSet::new());
    for instance in 0..30 {
        let key = format!("t:{instance}");
        held.push(tollgate.reserve(one(&key)).await.expect("there is room"));
        let waiter = tollgate.clone();
        waiting.spawn(async move { waiter.acquire(one(&key), seconds(60)).await });
    }
    until(2, || tollgate.waiting() == 30).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    cell(&tollgate, "limiters").expect("it runs").kill();
    waiting.abort_all();
    drop(held);
    until(3, || tollgate.totals().limits == 0).await;
}

/// Whoever leaves a line at the very moment it is served gives its grant back, and is refused for want of room: its
/// lease never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_whose_deadline_meets_its_grant_is_denied_not_finished() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("a", 1)).start().await.expect("it starts");
    let callers = (0..16_u64).map(|caller| {
        let tollgate = tollgate.clone();
        tokio::spawn(async move {
            for round in 0..300 {
                let wait = Wait::at_most(Duration::from_millis(1 + (caller + round) % 3));
                match tollgate.acquire(one("a"), wait).await {
                    Ok(lease) => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        drop(lease);
                    }
                    Err(refusal) => assert_eq!(refusal.reason, Reason::Denied),
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    within(60, async {
        for caller in callers {
            caller.await.expect("it is granted or denied");
        }
    })
    .await;
    until(2, || tollgate.totals().live_leases == 0).await;
}
