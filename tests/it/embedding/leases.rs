//! Leases and limits in the hands of a host, wherever the books are.

use std::time::Duration;

use tollgate::actors::{RegistryError, Status as EntryStatus, Wait};
use tollgate::backends::Health;
use tollgate::policy::{Complete, LeaseError, LimitState, Reason, Renew};
use tollgate::tollgate::CompleteError;

use super::available;
use crate::support::place::Place;
use crate::support::{
    LONG, bucket, checked, concurrency, key, label, one_of_each_kind, pattern, request, rolling, sleep_ms, used,
};

pub(crate) async fn a_call_from_reservation_to_completion(place: Place) {
    let tollgate = place.start([rolling("tokens", 100, 60), concurrency("slots", 2, 30)]).await;
    let wanted = request(&[("tokens", 60), ("slots", 1)]);
    tollgate.peek(&wanted.amounts).await.expect("it fits");
    let lease = tollgate.reserve(wanted.clone()).await.expect("it fits");
    assert_eq!(lease.id(), wanted.lease_id);
    assert!(0 < lease.reserved_at_unix_ms());
    assert_eq!((available(&tollgate, "tokens").await, available(&tollgate, "slots").await), (40, 1));
    lease.renew(None).await.expect("it lives");
    lease.complete_with([("tokens", 10)]).await.expect("completed");
    assert_eq!((available(&tollgate, "tokens").await, available(&tollgate, "slots").await), (90, 2));
    let view = tollgate.lease(wanted.lease_id).await.expect("it answers").expect("it is remembered");
    assert!(!view.is_live);
    assert_eq!(
        tollgate.peek(&request(&[("slots", 3)]).amounts).await.expect_err("too much").reason.code(),
        "never_fits:slots"
    );
}

pub(crate) async fn dropping_a_lease_releases_concurrency_and_keeps_everything_else_charged(place: Place) {
    let tollgate = place.start(one_of_each_kind(10, LONG)).await;
    let keys = ["rolling", "concurrency", "token_bucket"];
    for how in ["reserve", "acquire"] {
        let wanted = request(&keys.map(|key| (key, 4)));
        let lease = match how {
            "reserve" => tollgate.reserve(wanted).await,
            _ => tollgate.acquire(wanted, Wait::at_most(Duration::ZERO)).await,
        };
        drop(lease.expect("it fits"));
        place.soon(how, async || available(&tollgate, "concurrency").await == 10).await;
    }
    assert_eq!((available(&tollgate, "rolling").await, available(&tollgate, "token_bucket").await), (2, 2));
    place.soon("no lease is live", async || tollgate.totals().live_leases == 0).await;
}

pub(crate) async fn a_cancelled_call_ends_its_lease(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 600)]).await;
    let (has_it, it_has_it) = tokio::sync::oneshot::channel();
    let call = tokio::spawn({
        let tollgate = tollgate.clone();
        async move {
            let _lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
            has_it.send(()).expect("the test waits for it");
            std::future::pending::<()>().await;
        }
    });
    it_has_it.await.expect("it is granted");
    assert_eq!(available(&tollgate, "c").await, 0);
    call.abort();
    drop(call.await);
    place.soon("the slot is free", async || available(&tollgate, "c").await == 1).await;
}

pub(crate) async fn a_call_that_panics_ends_its_lease(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 600)]).await;
    let lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
    let call = tokio::spawn(async move {
        let _lease = lease;
        assert_eq!(1, 2, "the call fails");
    });
    assert!(call.await.expect_err("it failed").is_panic());
    place.soon("the slot is free", async || available(&tollgate, "c").await == 1).await;
}

pub(crate) async fn a_completion_with_a_stray_key_ends_the_lease_as_if_dropped(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 600), rolling("r", 10, 600)]).await;
    let lease = tollgate.reserve(request(&[("c", 1), ("r", 5)])).await.expect("it fits");
    let error = lease.complete_with([("r", 1), ("other", 1)]).await.expect_err("it does not hold that");
    assert_eq!(error, CompleteError::Lease(LeaseError::KeyNotHeld(key("other"))));
    place.soon("the slot is free", async || available(&tollgate, "c").await == 1).await;
    assert_eq!(available(&tollgate, "r").await, 5);
    let lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
    let error = lease.complete_with([("not a key", 1)]).await.expect_err("no key");
    assert!(matches!(error, CompleteError::Invalid(_)));
    place.soon("the slot is free again", async || available(&tollgate, "c").await == 1).await;
}

pub(crate) async fn a_detached_lease_is_completed_by_its_id(place: Place) {
    let tollgate = place.start([concurrency("c", 1, 600), rolling("r", 10, 600)]).await;
    let lease = tollgate.reserve(request(&[("c", 1), ("r", 5)])).await.expect("it fits");
    let lease_id = lease.detach().lease_id;
    assert_eq!(available(&tollgate, "c").await, 0, "detaching ends nothing");
    let lives = tollgate.renew(Renew { lease_id, timeout: None }).await.expect("it lives");
    let passed = Duration::from_secs(600).checked_sub(lives).expect("no longer than the limit lets it");
    assert!(passed <= Duration::from_millis(place.differs.answer_ms_max), "it lives for {lives:?}");
    let stray = Complete { lease_id, actuals: used(&[("x", 1)]) };
    assert_eq!(tollgate.complete(stray).await, Err(LeaseError::KeyNotHeld(key("x"))));
    assert_eq!(available(&tollgate, "c").await, 0, "by id, a refused completion changes nothing");
    for _ in 0..2 {
        let completion = Complete { lease_id, actuals: used(&[("r", 2)]) };
        assert_eq!(tollgate.complete(completion).await, Ok(()));
    }
    assert_eq!((available(&tollgate, "c").await, available(&tollgate, "r").await), (1, 8));
    assert_eq!(tollgate.renew(Renew { lease_id, timeout: None }).await, Err(LeaseError::Finished));
}

pub(crate) async fn limits_are_defined_changed_listed_and_deleted(place: Place) {
    let tollgate = place.start([]).await;
    assert_eq!(tollgate.put_limit(checked(concurrency("b", 10, 60))).await, Ok(LimitState::Active));
    assert_eq!(tollgate.put_limit(checked(bucket("a:{x}", 10, 1, 1))).await, Ok(LimitState::Active));
    let conflict = tollgate.put_limit(checked(rolling("b", 10, 60))).await;
    assert!(matches!(conflict, Err(RegistryError::KindConflict { .. })), "{conflict:?}");
    let _lease = tollgate.reserve(request(&[("b", 8)])).await.expect("it fits");
    let LimitState::Decreasing { to } = tollgate.put_limit(checked(concurrency("b", 5, 60))).await.expect("taken")
    else {
        panic!("8 of 10 are held");
    };
    let entries = tollgate.limits().await.expect("it answers");
    let listed: Vec<_> =
        entries.iter().map(|e| (e.definition.pattern.as_str(), e.status, e.pending_decrease_to)).collect();
    assert_eq!(listed, [("a:{x}", EntryStatus::Active, None), ("b", EntryStatus::Decreasing, Some(to))]);
    assert!(entries[0].version < entries[1].version);
    let deleted = tollgate.delete_limit(&pattern("b")).await.expect("deleted").expect("it was there");
    assert_eq!(deleted.definition.pattern.as_str(), "b");
    assert_eq!(tollgate.delete_limit(&pattern("b")).await, Ok(None));
    assert_eq!(tollgate.limit(&pattern("b")).await, Ok(None));
    let refused = tollgate.reserve(request(&[("b", 1)])).await.expect_err("it is gone");
    assert_eq!(refused.reason, Reason::UnknownLimitKey(key("b")));
}

pub(crate) async fn the_status_shows_the_tree_the_books_and_who_waits(place: Place) {
    let name = format!("shown of {}", place.differs.kind);
    let builder = place.builder().name(&name).limit_fields(concurrency("c", 1, 600));
    let tollgate = builder.start().await.expect("it starts");
    let lease = tollgate.reserve(request(&[("c", 1)]).for_tenant(label("acme"))).await.expect("it fits");
    let waiting = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.acquire(request(&[("c", 1)]), Wait::at_most(Duration::from_secs(9))).await.is_ok() }
    });
    sleep_ms(1_500).await;
    let runs_ms = tollgate.now().as_nanos() / 1_000_000;
    let status = tollgate.status();
    assert_eq!((status.name.as_str(), status.state, status.waiters), (name.as_str(), "running", 1));
    assert!((runs_ms..=runs_ms + place.differs.answer_ms_max).contains(&status.uptime_ms), "{status:?} at {runs_ms}");
    let books = &status.backend;
    assert_eq!(
        (books.kind, books.healthy, books.limits, books.live_leases, books.granted),
        (place.differs.kind, true, 1, 1, 1)
    );
    let own = |part: &str| format!("{name}/{part}");
    let actors = &status.actors;
    assert_eq!((actors.name.clone(), actors.state, actors.restarts), (own("root"), "running", 0));
    let children: Vec<_> = actors.children.iter().map(|child| (child.name.clone(), child.state)).collect();
    let wanted = ["registry", "backend", "limiters"].map(|part| (own(part), "running"));
    assert_eq!(children[..3], wanted);
    let limiters: Vec<_> = actors.children[2].children.iter().map(|child| child.name.clone()).collect();
    assert_eq!(limiters, [own("rate_limiter/c")]);
    let (usages, next) = tollgate.usages(0, 10).await.expect("it answers");
    assert_eq!((usages.len(), usages[0].waiters, next), (1, 1, None));
    drop(lease);
    assert!(waiting.await.expect("it did not panic"));
    assert_eq!((tollgate.waiting(), tollgate.health()), (0, Health::Up));
}
