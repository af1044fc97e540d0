//! One decision over limits and breaker.

use tollgate::actors::Wait;
use tollgate::policy::{Amounts, Complete, Reason, Refusal, Restraint};

use super::*;
use crate::support::{key, used, within};

async fn refused(tollgate: &Tollgate, request: Reserve) -> Box<Refusal> {
    tollgate.reserve(request).await.expect_err("it is refused")
}

fn through(requirements: &[(&str, u64)]) -> Reserve {
    request(requirements).through(name("upstream"))
}

pub(crate) async fn an_open_breaker_refuses_and_charges_nothing(place: Place) {
    let tollgate = start(&place).await;
    fail_until_open(&tollgate).await;
    let refusal = refused(&tollgate, call()).await;
    assert_eq!(refusal.reason, Reason::BreakerOpen(name("upstream")));
    assert_eq!(refusal.reason.code(), "breaker_open:upstream");
    let told_ms = refusal.retry_after_ms();
    assert!((OPEN_MS - place.differs.answer_ms_max..=OPEN_MS).contains(&told_ms), "told to wait {told_ms} ms");
    assert_eq!((available(&tollgate, "tokens").await, tollgate.totals().live_leases), (100, 0));
    drop(tollgate.reserve(request(&[("tokens", 10)])).await.expect("a call that names no breaker is not asked"));
    pass(OPEN_MS).await;
    drop(tollgate.reserve(call()).await.expect("it lets a probe through"));
}

pub(crate) async fn of_several_reasons_the_first_by_rank_is_told(place: Place) {
    let tollgate = start_open_for(&place, 60_000).await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it is granted");
    fail_through(&tollgate).await;
    let open = Reason::BreakerOpen(name("upstream"));
    let reason = async |request| refused(&tollgate, request).await.reason;
    assert_eq!(reason(through(&[("none", 1), ("slot", 1)])).await, Reason::UnknownLimitKey(key("none")));
    assert_eq!(reason(through(&[("slot", 2)])).await, Reason::NeverFits(key("slot")));
    assert_eq!(reason(through(&[("slot", 1)])).await, open, "before a plain denial");
    let pause = Restraint::Pause { until: tollgate.now().after(Duration::from_secs(60)) };
    tollgate.restrain(&key("tokens"), pause).await.expect("it is paused");
    assert_eq!(reason(through(&[("tokens", 1)])).await, open, "before a pause");
    tollgate.put_limit(crate::support::checked(rolling("tokens", 50, 60))).await.expect("it is lowered");
    assert_eq!(reason(through(&[("tokens", 1)])).await, open);
    drop(held);
}

/// Opens the breaker without touching limits.
async fn fail_through(tollgate: &Tollgate) {
    let breaker = tollgate.find_breaker(&name("upstream")).expect("it is known");
    for _ in 0..5 {
        breaker.try_enter().expect("it is closed").failure();
    }
}

pub(crate) async fn a_lease_that_lives_is_granted_again_though_the_breaker_is_open(place: Place) {
    let tollgate = start(&place).await;
    let first = call();
    let lease = tollgate.reserve(&first).await.expect("it is granted");
    fail_through(&tollgate).await;
    let again = tollgate.reserve(&first).await.expect("the same grant");
    assert_eq!(again.id(), lease.id());
    assert_eq!(available(&tollgate, "tokens").await, 90, "counted once");
    lease.complete(Amounts::default()).await.expect("it ends");
    let _ = again.detach();
    assert_eq!(refused(&tollgate, first).await.reason, Reason::LeaseFinished);
}

pub(crate) async fn what_is_told_by_id_counts_once(place: Place) {
    let tollgate = start(&place).await;
    for _ in 0..4 {
        reserve(&tollgate).await.finish(used(&[("tokens", 0)]), &failed()).await.expect("it ends");
    }
    let lease_id = reserve(&tollgate).await.detach().lease_id;
    let complete = || Complete { lease_id, actuals: used(&[("tokens", 0)]) };
    let failures = || tollgate.find_breaker(&name("upstream")).expect("it is known").view().consecutive_failures;
    assert_eq!(failures(), 4);
    let stray = Complete { lease_id, actuals: used(&[("other", 1)]) };
    tollgate.finish(stray, &failed()).await.expect_err("it does not hold this key");
    assert_eq!(failures(), 4, "nothing was changed");
    tollgate.finish(complete(), &failed()).await.expect("it ends");
    assert_eq!(state(&tollgate), BreakerState::Open, "the fifth");
    pass(OPEN_MS).await;
    let probe = reserve(&tollgate).await;
    for _ in 0..3 {
        tollgate.finish(complete(), &failed()).await.expect("it has ended");
    }
    assert_eq!(state(&tollgate), BreakerState::HalfOpen, "an outcome that is told again is none");
    drop(probe);
}

pub(crate) async fn who_does_not_say_how_it_went_was_cancelled(place: Place) {
    let tollgate = start(&place).await;
    fail_until_open(&tollgate).await;
    pass(OPEN_MS).await;
    let out = || tollgate.find_breaker(&name("upstream")).expect("it is known").view().probes;
    let lease = reserve(&tollgate).await;
    assert_eq!(out(), 1);
    drop(lease);
    assert_eq!(out(), 0, "dropped");
    reserve(&tollgate).await.complete(Amounts::default()).await.expect("it ends");
    assert_eq!(out(), 0, "completed without an outcome");
    let lease_id = reserve(&tollgate).await.detach().lease_id;
    assert_eq!(out(), 1, "the runtime keeps the permit of one that is given away");
    tollgate.complete(Complete { lease_id, actuals: Amounts::default() }).await.expect("it ends");
    assert_eq!((out(), state(&tollgate)), (0, BreakerState::HalfOpen));
}

pub(crate) async fn a_call_that_has_no_room_keeps_no_probe(place: Place) {
    let tollgate = start(&place).await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it is granted");
    fail_through(&tollgate).await;
    pass(OPEN_MS).await;
    assert_eq!(refused(&tollgate, call()).await.reason, Reason::Denied);
    let waiting = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.acquire(call(), Wait::at_most(Duration::from_secs(30))).await }
    });
    let probes = || tollgate.find_breaker(&name("upstream")).expect("it is known").view().probes;
    let what = "it waits in line, and keeps no probe from others";
    place.soon(what, async || (tollgate.waiting(), probes()) == (1, 0)).await;
    drop(held);
    let lease = within(5, waiting).await.expect("no panic").expect("it is granted");
    assert_eq!(probes(), 1);
    drop(lease);
}

pub(crate) async fn a_breaker_that_opened_meanwhile_refuses_the_one_who_waited(place: Place) {
    let tollgate = start(&place).await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it is granted");
    let waiting = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.acquire(call(), Wait::at_most(Duration::from_secs(30))).await }
    });
    place.soon("it waits in line", async || tollgate.waiting() == 1).await;
    fail_through(&tollgate).await;
    drop(held);
    let refusal = within(5, waiting).await.expect("no panic").expect_err("the breaker is open");
    assert_eq!(refusal.reason, Reason::BreakerOpen(name("upstream")));
    let free = async || (available(&tollgate, "slot").await, available(&tollgate, "tokens").await);
    let left = || (tollgate.waiting(), tollgate.totals().live_leases);
    place.soon("it is given back", async || free().await == (1, 100) && left() == (0, 0)).await;
}

pub(crate) async fn there_are_no_more_breakers_than_allowed(place: Place) {
    let settings = tollgate::config::Settings { max_breakers: 1, ..place.settings() };
    let builder = Tollgate::builder().settings(settings).limit_fields(rolling("tokens", 100, 60));
    let tollgate = builder.start().await.expect("it starts");
    let request = |breaker| request(&[("tokens", 1)]).through(name(breaker));
    drop(tollgate.reserve(request("first")).await.expect("it is made"));
    assert_eq!(refused(&tollgate, request("second")).await.reason, Reason::Overloaded);
}

pub(crate) async fn a_call_may_go_through_a_breaker_alone(place: Place) {
    let tollgate = start(&place).await;
    let nothing = || Reserve::new(Amounts::default());
    for _ in 0..5 {
        let lease = tollgate.reserve(nothing().through(name("upstream"))).await.expect("it is let through");
        lease.finish(Amounts::default(), &failed()).await.expect("it ends");
    }
    assert_eq!(
        refused(&tollgate, nothing().through(name("upstream"))).await.reason,
        Reason::BreakerOpen(name("upstream"))
    );
    pass(OPEN_MS).await;
    let lease_id = tollgate.reserve(nothing().through(name("upstream"))).await.expect("a probe").detach().lease_id;
    let complete = Complete { lease_id, actuals: Amounts::default() };
    tollgate.finish(complete, &CallReport::new(Outcome::success())).await.expect("it ends");
    assert_eq!(tollgate.find_breaker(&name("upstream")).expect("it is known").view().probe_successes, 1);
    let refusal = refused(&tollgate, nothing()).await;
    assert_eq!(
        refusal.to_string(),
        "reservation refused: `requirements` has 0 entries; name at least one limit, or a circuit breaker"
    );
}
