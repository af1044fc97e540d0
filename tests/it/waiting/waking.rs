//! Who waits is woken by whatever frees capacity, at that very instant.

use tollgate::actors::Wait;
use tollgate::policy::Reason;

use super::line::{LONG, Line, got, refusal};
use crate::support::place::Place;
use crate::support::{self, bucket, concurrency, request, rolling, sleep_ms};

pub(crate) async fn a_completion_wakes_at_once(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let waiting = line.join("a", &[("c", 1)]).await;
    assert_eq!(line.waiters("c").await, 1);
    sleep_ms(123).await;
    let ends = line.elapsed_ms();
    line.end(holder).await;
    let lease = got(waiting).await;
    line.assert_served([("a", ends)]).await;
    line.end(lease).await;
    line.assert_nothing_left().await;
}

pub(crate) async fn what_a_completion_gives_back_wakes_at_once(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 600), bucket("b", 10, 1, support::LONG)]).await;
    let mut due = Vec::new();
    for (name, key) in [("a", "r"), ("b", "b")] {
        let holder = line.hold(&[(key, 10)]).await;
        let waiting = line.join(name, &[(key, 4)]).await;
        due.push((name, line.elapsed_ms()));
        holder.complete_with([(key, 6)]).await.expect("completed");
        line.end(got(waiting).await).await;
    }
    line.assert_served(due).await;
}

pub(crate) async fn a_dropped_lease_wakes_at_once(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let waiting = line.join("a", &[("c", 1)]).await;
    let ends = line.elapsed_ms();
    drop(holder);
    drop(got(waiting).await);
    line.assert_served([("a", ends)]).await;
}

pub(crate) async fn an_expiry_wakes_at_its_instant(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1), rolling("r", 1, 2)]).await;
    let (_slot, _use) = (line.hold(&[("c", 1)]).await.detach(), line.hold(&[("r", 1)]).await.detach());
    sleep_ms(7).await;
    let waiting = [line.join("c", &[("c", 1)]).await, line.join("r", &[("r", 1)]).await];
    line.just_before(1_000).await;
    line.assert_none_served();
    line.at(2_000).await;
    line.assert_served([("c", 1_000), ("r", 2_000)]).await;
    for caller in waiting {
        drop(got(caller).await);
    }
}

pub(crate) async fn a_refill_wakes_in_the_millisecond_in_which_it_can_pay(place: Place) {
    let line = Line::of(place, [bucket("b", 10, 7, 3)]).await; // A unit takes 428.57 ms.
    drop(line.hold(&[("b", 10)]).await);
    let callers = [line.join("one", &[("b", 1)]).await, line.join("three", &[("b", 3)]).await];
    let step_ms = line.differs().step_ms(10, 4_286);
    line.at(1_715 + step_ms).await;
    line.assert_served_by_steps_of(step_ms, [("one", 429), ("three", 1_715)]).await;
    for caller in callers {
        drop(got(caller).await);
    }
}

pub(crate) async fn a_refill_wakes_only_those_it_can_pay_for(place: Place) {
    let line = Line::of(place, [bucket("b", 100, 100, 1)]).await;
    drop(line.hold(&[("b", 100)]).await);
    for n in 0..50 {
        line.join(&n.to_string(), &[("b", 5)]).await;
    }
    for paid in (1..=50).filter(|_| line.differs().is_exact()) {
        line.just_before(paid * 50).await;
        assert_eq!(line.served().len() as u64, paid - 1);
        line.at(paid * 50).await;
        assert_eq!(line.served().len() as u64, paid);
    }
    line.at(2_500 + line.differs().step_ms(100, 1_000)).await;
    line.soon("everybody is paid for", async || line.served().len() == 50).await;
    let totals = line.tollgate.totals();
    let refused = totals.decided - totals.granted;
    assert!(refused <= 110, "{refused} attempts were refused: each caller tries when it comes and is first once");
}

pub(crate) async fn a_raise_wakes_at_once(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000), rolling("t:{x}", 1, 1_000)]).await;
    let _held = (line.hold(&[("c", 1)]).await, line.hold(&[("t:a", 1)]).await);
    let callers = [line.join("c", &[("c", 1)]).await, line.join("t", &[("t:a", 1)]).await];
    let mut due = Vec::new();
    for (name, raised) in [("c", concurrency("c", 2, 1_000)), ("t", rolling("t:{x}", 2, 1_000))] {
        due.push((name, line.elapsed_ms()));
        line.put(raised).await;
    }
    for caller in callers {
        drop(got(caller).await);
    }
    line.assert_served(due).await;
}

pub(crate) async fn the_end_of_a_decrease_wakes_at_once(place: Place) {
    let line = Line::of(place, [concurrency("c", 10, 1_000)]).await;
    let (big, _small) = (line.hold(&[("c", 6)]).await, line.hold(&[("c", 1)]).await);
    line.put(concurrency("c", 5, 1_000)).await;
    let waiting = line.join("a", &[("c", 2)]).await;
    sleep_ms(200).await;
    line.assert_none_served();
    let ends = line.elapsed_ms();
    line.end(big).await;
    drop(got(waiting).await);
    line.assert_served([("a", ends)]).await;
}

pub(crate) async fn a_decrease_is_driven_by_expiry_alone(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 2), concurrency("c", 10, 2), bucket("b", 10, 2, 1)]).await;
    for key in ["r", "c", "b"] {
        let _grant = line.hold(&[(key, 7)]).await.detach();
    }
    for lower in [rolling("r", 5, 2), concurrency("c", 5, 2), bucket("b", 5, 2, 1)] {
        line.put(lower).await;
    }
    for (key, applied_at) in [("b", 1_000 + line.differs().step_ms(10, 5_000)), ("r", 2_000), ("c", 2_000)] {
        line.at(applied_at).await;
        line.soon(key, async || {
            let limit = line.tollgate.limit(&support::pattern(key)).await.expect("answers").expect("defined");
            (limit.definition.capacity.get(), limit.pending_decrease_to) == (5, None)
        })
        .await;
    }
    drop(line.hold(&[("r", 5), ("c", 5)]).await);
}

pub(crate) async fn the_end_of_a_decrease_by_expiry_wakes_at_its_instant(place: Place) {
    let line = Line::of(place, [concurrency("c", 10, 2)]).await;
    let _grant = line.hold(&[("c", 7)]).await.detach();
    line.put(concurrency("c", 5, 2)).await;
    let waiting = line.join("a", &[("c", 1)]).await;
    line.at(2_000).await;
    line.assert_served([("a", 2_000)]).await;
    drop(got(waiting).await);
}

pub(crate) async fn a_target_below_the_amount_ends_the_wait(place: Place) {
    let line = Line::of(place, [concurrency("c", 10, 1_000)]).await;
    let _held = line.hold(&[("c", 8)]).await;
    let waiting = line.join("a", &[("c", 6)]).await;
    line.put(concurrency("c", 5, 1_000)).await;
    assert_eq!(refusal(waiting).await.reason.code(), "never_fits:c");
}

pub(crate) async fn deleting_a_limit_answers_its_waiters(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000), concurrency("t:{x}", 1, 1_000)]).await;
    let _held = (line.hold(&[("c", 1)]).await, line.hold(&[("t:a", 1)]).await);
    let callers = [line.join("c", &[("c", 1)]).await, line.join("t", &[("t:a", 1)]).await];
    let deleted = line.elapsed_ms();
    line.delete("c").await;
    line.delete("t:{x}").await;
    for (caller, key) in callers.into_iter().zip(["c", "t:a"]) {
        assert_eq!(refusal(caller).await.reason.code(), format!("unknown_limit_key:{key}"));
    }
    assert_eq!(line.tollgate.waiting(), 0);
    line.assert_elapsed(deleted);
}

pub(crate) async fn deleting_a_limit_answers_those_who_wait_for_another_key_too(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let waiting = line.join("a", &[("c", 1), ("d", 1)]).await;
    line.delete("d").await;
    line.end(holder).await;
    assert_eq!(refusal(waiting).await.reason.code(), "unknown_limit_key:d");
    assert_eq!(line.available("c").await, 1);
}

pub(crate) async fn a_template_takes_over_from_a_deleted_definition_and_wakes(place: Place) {
    let line = Line::of(place, [concurrency("t:a", 1, 1_000), concurrency("t:{x}", 2, 1_000)]).await;
    let _held = line.hold(&[("t:a", 1)]).await;
    let waiting = line.join("a", &[("t:a", 1)]).await;
    let deleted = line.elapsed_ms();
    line.delete("t:a").await;
    drop(got(waiting).await);
    line.assert_elapsed(deleted);
    line.settled().await;
    assert_eq!(line.tollgate.waiting(), 0);
}

pub(crate) async fn a_free_limit_keeps_nobody_waiting(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let lease = line.tollgate.acquire(request(&[("c", 1)]), Wait::at_most(LONG)).await.expect("granted");
    line.assert_elapsed(0);
    drop(lease);
    let code = line.tollgate.acquire(request(&[("c", 2)]), Wait::at_most(LONG)).await.expect_err("too much").reason;
    assert_eq!(code, Reason::NeverFits(crate::support::key("c")));
}
