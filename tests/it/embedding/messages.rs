//! The actors' own messages, sent with `ractor::call!` and `cast!`.

use std::time::Duration;

use ractor::{RpcReplyPort, call, call_t, cast};
use tollgate::actors::{BackendMessage, RateLimiterMessage, RegistryMessage, Wait};
use tollgate::policy::{Complete, Grant, LeaseError, LeaseId, LimitState, Reason, Refusal, Renew, Restraint};

use super::available;
use crate::support::place::Place;
use crate::support::{checked, concurrency, key, pattern, request, rolling, sleep_ms, used};

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
