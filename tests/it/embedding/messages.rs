//! The actors' own messages, sent with `ractor::call!` and `cast!`.

use std::time::Duration;

use futures_util::future::join_all;
use ractor::rpc::CallResult;
use ractor::{RpcReplyPort, call, call_t, cast};
use tollgate::Tollgate;
use tollgate::actors::{BackendMessage, RateLimiterMessage, RegistryMessage, Wait};
use tollgate::policy::{Complete, Grant, LeaseError, LeaseId, LimitState, Reason, Refusal, Renew, Restraint};

use super::available;
use crate::support::place::Place;
use crate::support::remote::Remote;
use crate::support::{checked, concurrency, key, pattern, request, rolling, sleep_ms, used, within};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn the_registry_takes_changes_as_messages(place: Place) {
    let tollgate = place.start([concurrency("a", 1, 60)]).await;
    let registry = tollgate.registry_actor().expect("it runs");
    let put = call!(registry, RegistryMessage::Put, checked(rolling("b", 5, 60))).expect("answered");
    assert_eq!(put, Ok(LimitState::Active));
    assert_eq!(available(&tollgate, "b").await, 5, "it is in force when the answer comes");
    let conflict = call!(registry, RegistryMessage::Put, checked(rolling("a", 5, 60))).expect("answered");
    assert!(conflict.is_err());
    let listed = call!(registry, RegistryMessage::List).expect("answered");
    assert_eq!(listed.iter().map(|entry| entry.definition.pattern.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let got = call!(registry, RegistryMessage::Get, pattern("b")).expect("answered").expect("defined");
    assert_eq!(got, listed[1]);
    let deleted = call!(registry, RegistryMessage::Delete, pattern("b")).expect("answered");
    assert_eq!(deleted, Ok(Some(got)));
    assert_eq!(call!(registry, RegistryMessage::Get, pattern("b")).expect("answered"), None);
}

pub(crate) async fn the_backend_takes_requests_over_many_limits_as_messages(place: Place) {
    let tollgate = place.start([concurrency("c", 2, 60), rolling("r", 10, 60)]).await;
    let backend = tollgate.backend_actor().expect("it runs");
    let wanted = request(&[("c", 1), ("r", 6)]);
    let lease_id = wanted.lease_id;
    let peeked = call!(backend, BackendMessage::Peek, wanted.amounts.clone()).expect("answered");
    assert_eq!(peeked, Ok(()));
    let grant = call!(backend, BackendMessage::Reserve, wanted.clone()).expect("answered").expect("it fits");
    assert_eq!(grant.lease_id, lease_id);
    let refused = call!(backend, BackendMessage::Reserve, request(&[("r", 6)])).expect("answered");
    assert_eq!(refused.expect_err("full").reason, Reason::Denied);
    let renew = Renew { lease_id, timeout: None };
    assert!(call!(backend, BackendMessage::Renew, renew).expect("answered").is_ok());
    let view = call!(backend, BackendMessage::Lease, lease_id).expect("answered").expect("it answers");
    assert_eq!(view.expect("known").holds.len(), 2);
    let complete = Complete { lease_id, actuals: used(&[("r", 1)]) };
    assert_eq!(call!(backend, BackendMessage::Complete, complete).expect("answered"), Ok(()));
    let usage = call!(backend, BackendMessage::Usage, key("r")).expect("answered").expect("it answers");
    assert_eq!(usage.expect("known").available, 9);
    assert_eq!(call!(backend, BackendMessage::Renew, renew).expect("answered"), Err(LeaseError::Finished));
    let restraint = Restraint::Pause { until: tollgate.now().after(MINUTE) };
    assert_eq!(call!(backend, BackendMessage::Restrain, key("r"), restraint).expect("answered"), Ok(()));
    let paused = call!(backend, BackendMessage::Reserve, request(&[("r", 1)])).expect("answered");
    assert_eq!(paused.expect_err("paused").reason, Reason::LimitPaused(key("r")));
    let unknown = call!(backend, BackendMessage::Lease, LeaseId::generate()).expect("answered");
    assert_eq!(unknown, Ok(None));
}

fn acquire(
    requirements: &[(&str, u64)],
    wait: Duration,
) -> impl FnOnce(RpcReplyPort<Result<Grant, Box<Refusal>>>) -> RateLimiterMessage {
    let request = request(requirements);
    move |reply| RateLimiterMessage::Acquire { request, wait: Wait::at_most(wait), reply }
}

pub(crate) async fn a_rate_limiter_takes_acquires_as_messages(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 600)]).await;
    let limiter = tollgate.rate_limiter_actor(&key("c")).expect("it runs");
    let granted = limiter.call(acquire(&[("c", 1)], MINUTE), None).await.expect("sent").expect("answered");
    let lease_id = granted.expect("it fits").lease_id;
    let waiting = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.call(acquire(&[("c", 1)], MINUTE), None).await.expect("sent").expect("answered") }
    });
    let what = "it waits, and not the actor itself, whose mailbox stays open";
    place.soon(what, async || tollgate.waiting() == 1).await;
    let refused = limiter.call(acquire(&[("c", 1)], Duration::from_secs(1)), None).await.expect("sent");
    assert_eq!(refused.expect("answered").expect_err("too long").reason, Reason::Denied);
    tollgate.complete(Complete { lease_id, actuals: used(&[]) }).await.expect("completed");
    assert!(waiting.await.expect("it did not panic").is_ok());
    cast!(limiter, RateLimiterMessage::Wake).expect("sent");
    cast!(limiter, RateLimiterMessage::Tick { generation: 99 }).expect("sent");
}

pub(crate) async fn a_grant_that_no_caller_takes_is_given_back(place: Place) {
    let tollgate = place.start([rolling("r", 1, 600)]).await;
    let limiter = tollgate.rate_limiter_actor(&key("r")).expect("it runs");
    let holder = tollgate.reserve(request(&[("r", 1)])).await.expect("it fits");
    let caller = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.call(acquire(&[("r", 1)], MINUTE), None).await.is_ok() }
    });
    place.soon("it waits", async || tollgate.waiting() == 1).await;
    caller.abort();
    sleep_ms(100).await;
    holder.complete_with([("r", 0)]).await.expect("completed");
    sleep_ms(100).await;
    let left = async || (tollgate.waiting(), available(&tollgate, "r").await, tollgate.totals().live_leases);
    place.soon("nothing is left of it", async || left().await == (0, 1, 0)).await;
}

pub(crate) async fn an_acquire_by_message_waits_no_longer_than_its_call(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 600)]).await;
    let limiter = tollgate.rate_limiter_actor(&key("c")).expect("it runs");
    let _holder = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
    let wait = Wait::at_most(MINUTE);
    let message = |request, reply| RateLimiterMessage::Acquire { request, wait, reply };
    let answered = call_t!(limiter, message, 500, request(&[("c", 1)]));
    assert!(answered.is_err() || answered.expect("an answer").is_err());
    sleep_ms(100).await;
    place.soon("nobody waits", async || tollgate.waiting() == 0).await;
}

/// One limit in a ledger whose every answer takes 100 ms.
async fn start_far_away() -> Tollgate {
    let remote = Remote::default();
    let builder = Tollgate::builder().ledger(remote.ledger()).limit_fields(rolling("r", 1_000_000, 60));
    let tollgate = builder.start().await.expect("it starts");
    remote.set_delay_ms(100);
    tollgate
}

/// Sends so many reservations to the backend at once; says how many were granted, and how long that took.
async fn reserve_by_message(tollgate: &Tollgate, count: usize) -> (usize, Duration) {
    let (backend, begin) = (tollgate.backend_actor().expect("it runs"), tollgate.now());
    let asked = (0..count).map(|_| backend.call(|reply| BackendMessage::Reserve(request(&[("r", 1)]), reply), None));
    let answers = join_all(asked).await;
    let is_granted = |answer: &_| matches!(answer, Ok(CallResult::Success(Ok(_))));
    (answers.iter().filter(|answer| is_granted(answer)).count(), tollgate.now().since(begin))
}

const ONE_ANSWER: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn messages_to_the_backend_do_not_wait_for_each_others_answers() {
    let tollgate = start_far_away().await;
    assert_eq!(reserve_by_message(&tollgate, 10).await, (10, ONE_ANSWER));
    // As many as may be on their way, and one that waits for the first of them.
    assert_eq!(reserve_by_message(&tollgate, 4_097).await, (4_097, 2 * ONE_ANSWER));
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_answered_though_the_backend_dies_or_ends() {
    let tollgate = start_far_away().await;
    let die_soon = async {
        sleep_ms(50).await;
        tollgate.backend_actor().expect("it runs").kill();
    };
    let (answered, ()) = tokio::join!(reserve_by_message(&tollgate, 4_096), die_soon);
    assert_eq!(answered, (4_096, ONE_ANSWER));
    // The next incarnation has as many places as the first, and is owed nothing.
    within(1, async {
        while tollgate.backend_actor().is_none() {
            sleep_ms(1).await;
        }
    })
    .await;
    assert_eq!(reserve_by_message(&tollgate, 4_097).await, (4_097, 2 * ONE_ANSWER));
    let parts = tollgate.status().actors.children;
    assert!(parts.iter().all(|part| part.queue_depth == 0), "{parts:?}");

    let end_soon = async {
        sleep_ms(50).await;
        let begin = tollgate.now();
        tollgate.shutdown().await;
        tollgate.now().since(begin)
    };
    let answers = tokio::join!(reserve_by_message(&tollgate, 10), end_soon);
    assert_eq!(answers, ((10, ONE_ANSWER), ONE_ANSWER / 2), "the end waits for them, and for nothing else");
}
