//! Actors die, in every way and at the worst moment: the service goes on, and nothing is lost or leaked.

use std::time::Duration;

use ractor::ActorCell;
use tollgate::clock::Clock;
use tollgate::policy::{DefinitionFields, Key, LimitState, Reserve};
use tollgate::{Tollgate, Wait};

use crate::support::control::Control;
use crate::support::within;

fn fields(key: &str, kind: &str, capacity: u64) -> DefinitionFields {
    let window_seconds = (kind == "rolling").then_some(60);
    let timeout_seconds = (kind == "concurrency").then_some(60);
    DefinitionFields {
        key: key.into(),
        kind: kind.into(),
        capacity,
        window_seconds,
        timeout_seconds,
        ..Default::default()
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}

fn slot() -> Reserve {
    Reserve::of([("slots", 1)]).expect("a good request")
}

async fn tollgate(slots: u64) -> Tollgate {
    Tollgate::builder().limit_fields(fields("slots", "concurrency", slots)).start().await.expect("it starts")
}

fn cell(tollgate: &Tollgate, actor: &str) -> Option<ActorCell> {
    ractor::ActorRef::<()>::try_from_name(&format!("{}/{actor}", tollgate.status().name))
}

/// Finds actors by the name that the status shows.
trait ByName {
    fn try_from_name(name: &str) -> Option<ActorCell>;
}

impl ByName for ractor::ActorRef<()> {
    #[expect(clippy::disallowed_methods, reason = "kills actors from outside, as nobody else does")]
    fn try_from_name(name: &str) -> Option<ActorCell> {
        ractor::registry::where_is(name)
    }
}

const ACTORS: [&str; 4] = ["registry", "backend", "limiters", "rate_limiter/slots"];

async fn until(seconds: u64, mut holds: impl FnMut() -> bool) {
    within(seconds, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn answers(tollgate: &Tollgate) {
    let lease = tollgate.acquire(slot(), Wait::at_most(Duration::from_secs(1))).await.expect("there is room");
    lease.complete_with([("slots", 1)]).await.expect("it completes");
    assert!(tollgate.limits().await.is_ok_and(|limits| limits.len() == 1));
    assert!(tollgate.rate_limiter_actor(&key("slots")).is_some());
    assert!(tollgate.backend_actor().is_some());
}

async fn available(tollgate: &Tollgate) -> u64 {
    tollgate.usage(&key("slots")).await.expect("it answers").expect("it is defined").usage.available
}

/// What an actor that was killed may take to be back, beside the lateness of the machine.
const BACK_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_actor_killed_in_turn_under_load_is_back_within_a_second_and_nothing_leaks() {
    let tollgate = tollgate(4).await;
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let tollgate = tollgate.clone();
        load.spawn(async move {
            for round in 0_u32..60 {
                let lease =
                    tollgate.acquire(slot(), Wait::at_most(Duration::from_secs(20))).await.expect("its turn comes");
                tokio::time::sleep(Duration::from_millis(1)).await;
                if round % 2 == 0 {
                    lease.complete_with([("slots", 1)]).await.expect("it completes");
                }
            }
        });
    }
    let clock = Clock::start();
    let control = Control::start(&clock);
    let in_time = async |is_back: &dyn Fn() -> bool| {
        let since = clock.now();
        until(20, is_back).await;
        let (took, lateness) = (clock.now().since(since), control.lateness(since, clock.now()));
        assert!(took <= BACK_MAX + lateness, "{took:?}, of which {lateness:?} were the machine's");
    };
    for actor in ACTORS.into_iter().cycle().take(2 * ACTORS.len()) {
        in_time(&|| cell(&tollgate, actor).is_some()).await;
        let victim = cell(&tollgate, actor).expect("it runs");
        let id = victim.get_id();
        victim.kill();
        in_time(&|| cell(&tollgate, actor).is_some_and(|next| next.get_id() != id)).await;
    }
    within(30, async { while load.join_next().await.transpose().expect("no call failed").is_some() {} }).await;
    in_time(&|| tollgate.rate_limiter_actor(&key("slots")).is_some()).await;
    within(5, answers(&tollgate)).await;
    assert_eq!((available(&tollgate).await, tollgate.waiting(), tollgate.totals().live_leases), (4, 0, 0));
    tollgate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_when_the_limits_actor_dies_keeps_the_place_and_is_served() {
    let tollgate = tollgate(1).await;
    let held = tollgate.reserve(slot()).await.expect("there is room");
    let mut waiting = Vec::new();
    for place in 0..3_u32 {
        let waiter = tollgate.clone();
        waiting.push(tokio::spawn(async move { waiter.acquire(slot(), Wait::at_most(Duration::from_secs(10))).await }));
        until(2, || tollgate.waiting() == place as usize + 1).await;
    }
    for actor in ["rate_limiter/slots", "limiters"] {
        cell(&tollgate, actor).expect("it runs").kill();
    }
    drop(held);
    for waiter in waiting {
        let lease = within(2, waiter).await.expect("it ran").expect("its turn came");
        drop(lease);
    }
    assert_eq!(available(&tollgate).await, 1);
    tollgate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decrease_that_was_pending_when_everything_died_is_still_applied() {
    let tollgate = tollgate(4).await;
    let held = [0; 3].map(|_| slot());
    let mut leases = Vec::new();
    for request in held {
        leases.push(tollgate.reserve(request).await.expect("there is room"));
    }
    let lowered = fields("slots", "concurrency", 2).check().expect("a good definition");
    assert!(matches!(tollgate.put_limit(lowered).await, Ok(LimitState::Decreasing { .. })));
    for actor in ACTORS {
        if let Some(cell) = cell(&tollgate, actor) {
            cell.kill();
        }
    }
    drop(leases);
    within(3, async {
        loop {
            let limits = tollgate.limits().await.expect("the registry is back");
            if limits[0].pending_decrease_to.is_none() && limits[0].definition.capacity.get() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(available(&tollgate).await, 2);
    tollgate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_dies_again_and_again_ends_the_runtime_with_answers() {
    let tollgate = tollgate(1).await;
    let held = tollgate.reserve(slot()).await.expect("there is room");
    let waiter = tollgate.clone();
    let waiting = tokio::spawn(async move { waiter.acquire(slot(), Wait::at_most(Duration::from_secs(30))).await });
    until(2, || tollgate.waiting() == 1).await;
    let killer = async {
        loop {
            if let Some(backend) = cell(&tollgate, "backend") {
                backend.kill();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(20, async {
        tokio::select! {
            () = killer => {}
            () = tollgate.ended() => {}
        }
    })
    .await;
    let refusal = within(2, waiting).await.expect("it ran").expect_err("nobody is served any more");
    assert_eq!(refusal.reason.code(), "overloaded");
    assert_eq!(tollgate.reserve(slot()).await.expect_err("it has ended").reason.code(), "overloaded");
    assert_eq!(tollgate.status().state, "stopping");
    assert!(held.complete_with([("slots", 1)]).await.is_ok(), "a lease can still be completed");
}

#[tokio::test]
async fn the_status_shows_every_actor_and_its_restarts() {
    let tollgate = tollgate(1).await;
    cell(&tollgate, "backend").expect("it runs").kill();
    let restarted = || {
        tollgate
            .status()
            .actors
            .children
            .iter()
            .any(|part| part.name.ends_with("/backend") && part.restarts == 1 && part.state == "running")
    };
    until(2, restarted).await;
    let status = tollgate.status();
    let names: Vec<_> =
        status.actors.children.iter().map(|part| part.name.rsplit('/').next().expect("a name").to_owned()).collect();
    assert!(
        ["registry", "backend", "limiters"].iter().all(|name| names.iter().any(|shown| shown == name)),
        "{names:?}"
    );
    let limiters = status.actors.children.iter().find(|part| part.name.ends_with("/limiters")).expect("it is shown");
    assert_eq!(limiters.children.len(), 1);
    tollgate.shutdown().await;
    assert!(cell(&tollgate, "root").is_none() && cell(&tollgate, "rate_limiter/slots").is_none());
}
