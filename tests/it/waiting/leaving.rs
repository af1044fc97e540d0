//! Leaving a line: by deadline, cancellation, shutdown, or because there is no room. Nothing stays behind.

use std::time::Duration;

use tollgate::actors::Wait;
use tollgate::config::Settings;
use tollgate::policy::{Priority, Reason};

use super::line::{LONG, Line, got, refusal};
use crate::support::place::Place;
use crate::support::{self, bucket, concurrency, request, rolling, sleep_ms};

fn at_most_ms(ms: u64) -> Wait {
    Wait::at_most(Duration::from_millis(ms))
}

pub(crate) async fn a_full_line_refuses_at_once(place: Place) {
    let bounded = |settings| Settings { max_waiters: 2, max_waiters_total: 3, ..settings };
    let line = Line::with(place, [concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)], bounded).await;
    let (c, _d) = (line.hold(&[("c", 1)]).await, line.hold(&[("d", 1)]).await);
    let first = line.join("c", &[("c", 1)]).await;
    let _others = (line.join("c", &[("c", 1)]).await, line.join("d", &[("d", 1)]).await);
    let come = line.elapsed_ms();
    for (key, problem) in [("c", "this line is full"), ("d", "all lines together are full")] {
        let refused = refusal(line.join(key, &[(key, 1)]).await).await;
        assert_eq!(refused.reason, Reason::Overloaded, "{problem}");
        assert!(1 <= refused.retry_after_ms());
    }
    assert_eq!(line.tollgate.waiting(), 3);
    line.assert_elapsed(come);
    line.end(c).await;
    let _lease = got(first).await;
    let _again = line.join("d", &[("d", 1)]).await;
    assert_eq!(line.tollgate.waiting(), 3, "there is room again");
}

pub(crate) async fn a_wait_that_is_known_to_be_too_long_is_refused_at_once(place: Place) {
    if !place.differs.knows_waits {
        return;
    }
    let line = Line::of(place, [rolling("r", 1, 60), bucket("b", 10, 1, 1)]).await;
    for key in ["r", "b"] {
        let amount = if key == "r" { 1 } else { 10 };
        line.end(line.hold(&[(key, amount)]).await).await;
        let known_ms = if key == "r" { 60_000 } else { 10_000 };
        let refused = line.tollgate.acquire(request(&[(key, amount)]), at_most_ms(known_ms - 1)).await;
        let refused = refused.expect_err("too long");
        assert_eq!((refused.reason.clone(), refused.retry_after_ms()), (Reason::Denied, known_ms));
        line.assert_elapsed(0);
    }
    let waiting = line.join_as("r", request(&[("r", 1)]), at_most_ms(60_001)).await;
    drop(got(waiting).await);
    line.assert_elapsed(60_000);
}

pub(crate) async fn a_wait_of_exactly_the_known_time_is_long_enough(place: Place) {
    let line = Line::of(place, [rolling("r", 1, 1), bucket("b", 8, 8, 1)]).await;
    for (key, amount) in [("r", 1), ("b", 8)] {
        let start = line.elapsed_ms();
        let lease = line.hold(&[(key, amount)]).await;
        let step_ms = if key == "b" { line.differs().step_ms(8, 1_000) } else { 0 };
        let wait = at_most_ms(1_000 + step_ms + line.late_ms());
        let waiting = line.join_as(key, request(&[(key, amount)]), wait).await;
        line.end(lease).await;
        drop(got(waiting).await);
        line.assert_served_by_steps_of(step_ms, [(key, start + 1_000)]).await;
        line.forget_served();
    }
}

pub(crate) async fn a_deadline_tells_how_things_stand_then(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 2)]).await;
    let _grant = line.hold(&[("r", 8)]).await.detach();
    let waiting = line.join_as("r", request(&[("r", 6)]), at_most_ms(700)).await;
    let refused = refusal(waiting).await;
    line.assert_elapsed(700);
    assert_eq!((refused.reason.clone(), refused.denied[0].available), (Reason::Denied, 2));
    if line.differs().knows_waits {
        assert_eq!(refused.retry_after_ms(), 1_300);
    }
}

pub(crate) async fn a_wait_that_a_completion_may_shorten_is_not_known(place: Place) {
    let line = Line::of(place, [rolling("r", 1, 60)]).await;
    let holder = line.hold(&[("r", 1)]).await;
    let waiting = line.join_as("r", request(&[("r", 1)]), at_most_ms(1_000)).await;
    holder.complete_with([("r", 0)]).await.expect("completed");
    drop(got(waiting).await);
}

pub(crate) async fn a_wait_of_zero_is_a_plain_reserve(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let lease = line.tollgate.acquire(request(&[("c", 1)]), at_most_ms(0)).await.expect("it fits");
    let refused = line.tollgate.acquire(request(&[("c", 1)]), at_most_ms(0)).await.expect_err("full");
    assert_eq!((refused.reason.clone(), line.tollgate.waiting()), (Reason::Denied, 0));
    if line.differs().knows_waits {
        assert_eq!(refused.retry_after_ms(), 1_000_000);
    }
    drop(lease);
}

pub(crate) async fn a_deadline_ends_the_wait_and_leaves_nothing(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let [first, last] = [1_000, 2_000].map(|ms| line.differs().window_ms(ms));
    let callers = [first, first, last].map(at_most_ms).map(|wait| line.join_as("x", request(&[("c", 1)]), wait));
    let mut refused = Vec::new();
    for caller in callers {
        refused.push(caller.await);
    }
    line.just_before(first).await;
    assert_eq!(line.waiters("c").await, 3);
    line.at(first).await;
    line.soon("one is left", async || line.waiters("c").await == 1).await;
    line.at(last).await;
    for caller in refused {
        let refused = refusal(caller).await;
        assert_eq!((refused.reason.clone(), refused.denied.len()), (Reason::Denied, 1));
        assert!(1 <= refused.retry_after_ms());
    }
    line.end(holder).await;
    line.assert_nothing_left().await;
    drop(line.hold(&[("c", 1)]).await);
}

pub(crate) async fn who_leaves_the_front_lets_the_next_one_try(place: Place) {
    let line = Line::of(place, [concurrency("c", 10, 1_000)]).await;
    let _held = line.hold(&[("c", 5)]).await;
    let big = line.join("big", &[("c", 6)]).await;
    let joins = line.elapsed_ms();
    let deadline = line.join_as("deadline", request(&[("c", 7)]), at_most_ms(1_000)).await;
    let small = line.join("small", &[("c", 5)]).await;
    big.abort();
    line.settled().await;
    line.assert_none_served();
    drop(got(small).await);
    line.assert_served([("small", joins + 1_000)]).await;
    assert_eq!(refusal(deadline).await.reason, Reason::Denied);
}

pub(crate) async fn a_cancelled_caller_leaves_nothing_wherever_it_is_dropped(place: Place) {
    // Capacity frees after one step of the runtime more each time, and the caller is dropped after another number:
    // among them are the moments between joining and being seen, and between the grant and its delivery.
    let line = Line::of(place, [concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)]).await;
    for freed_after in line.steps() {
        for dropped_after in line.steps() {
            let holder = line.hold(&[("c", 1)]).await;
            let (tollgate, stepping) = (line.tollgate.clone(), line.clone());
            let wanted = request(&[("d", 1), ("c", 1)]);
            let caller = tokio::spawn(async move { tollgate.acquire(wanted, Wait::at_most(LONG)).await });
            let freeing = tokio::spawn(async move {
                stepping.step(freed_after).await;
                drop(holder);
            });
            line.step(dropped_after).await;
            caller.abort();
            drop(caller.await);
            freeing.await.expect("it did not panic");
            line.assert_nothing_left().await;
            assert_eq!((line.available("c").await, line.available("d").await), (1, 1));
        }
    }
}

pub(crate) async fn a_grant_that_nobody_takes_goes_to_the_next(place: Place) {
    let line = Line::of(place, [bucket("b", 1, 1, support::LONG)]).await;
    for steps in line.steps() {
        let holder = line.hold(&[("b", 1)]).await;
        let first = line.join_with("first", Priority::High, &[("b", 1)]).await;
        let second = line.join("second", &[("b", 1)]).await;
        holder.complete_with([("b", 0)]).await.expect("completed");
        line.step(steps).await;
        first.abort();
        match first.await {
            // It was in time: dropping its lease charges it, as it may have been used.
            Ok(answer) => drop(answer.expect("granted").complete_with([("b", 0)]).await),
            Err(cancelled) => assert!(cancelled.is_cancelled()),
        }
        // The second did not wait for the refill.
        got(second).await.complete_with([("b", 0)]).await.expect("completed");
        line.assert_nothing_left().await;
    }
}

pub(crate) async fn shutting_down_answers_everybody_who_waits(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)]).await;
    let held = (line.hold(&[("c", 1)]).await, line.hold(&[("d", 1)]).await);
    let mut callers = Vec::new();
    for n in 0..50 {
        callers.push(line.join("x", &[("c", 1), ("d", 1)][n % 2..=n % 2]).await);
    }
    sleep_ms(10).await;
    let ends = line.elapsed_ms();
    line.tollgate.shutdown().await;
    for caller in callers {
        assert_eq!(refusal(caller).await.reason, Reason::Overloaded);
    }
    line.assert_elapsed(ends);
    drop(held);
    line.assert_nothing_left().await;
}
