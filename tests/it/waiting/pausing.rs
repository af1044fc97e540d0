//! Who waits for a limit that its provider restrains is woken at the end of that, and not before.

use std::time::Duration;

use tollgate::Wait;
use tollgate::policy::{Reason, Restraint};

use super::line::{LONG, Line, got, refusal};
use crate::support::place::Place;
use crate::support::{self, bucket, concurrency, key, one_of_each_kind, request, rolling, sleep_ms};

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

/// Lets the provider ask to wait for `ms` from now; says when that ends, in milliseconds since the start.
async fn pause(line: &Line, text: &str, ms: u64) -> u64 {
    let ends = line.elapsed_ms() + ms;
    let until = line.tollgate.now().after(Duration::from_millis(ms));
    line.tollgate.restrain(&key(text), Restraint::Pause { until }).await.expect("it answers");
    ends
}

/// Lets the provider say what it has left until `ms` from now; says when that is, as above.
async fn tighten(line: &Line, text: &str, remaining: u64, ms: u64) -> u64 {
    let ends = line.elapsed_ms() + ms;
    let until = line.tollgate.now().after(Duration::from_millis(ms));
    line.tollgate.restrain(&key(text), Restraint::Tighten { remaining, until }).await.expect("it answers");
    ends
}

/// Asserts that a caller was told to wait until `ends`.
#[track_caller]
fn assert_waits_until(line: &Line, ends: u64, told_ms: u64) {
    let left_ms = ends - line.elapsed_ms();
    let wanted = left_ms..=left_ms + line.differs().answer_ms_max;
    assert!(wanted.contains(&told_ms), "told to wait {told_ms} ms, {wanted:?} are left");
}

fn at_most(ms: u64) -> Wait {
    Wait::at_most(Duration::from_millis(ms))
}

pub(crate) async fn the_end_of_a_pause_wakes_exactly_then(place: Place) {
    let line = Line::of(place, one_of_each_kind(10, support::LONG)).await;
    let (mut callers, mut ends) = (Vec::new(), Vec::new());
    for (kind, ms) in KINDS.into_iter().zip([1_000, 1_500, 2_000]) {
        ends.push((kind, pause(&line, kind, ms).await));
        callers.push(line.join(kind, &[(kind, 1)]).await);
        assert_eq!(line.waiters(kind).await, 1);
    }
    line.just_before(ends[0].1).await;
    line.assert_none_served();
    line.at(ends[2].1).await;
    line.assert_served(ends).await;
    for caller in callers {
        line.end(got(caller).await).await;
    }
    line.assert_nothing_left().await;
}

pub(crate) async fn a_pause_that_is_prolonged_keeps_everybody_waiting(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 60)]).await;
    let first = pause(&line, "r", 1_000).await;
    let callers = [line.join("a", &[("r", 1)]).await, line.join("b", &[("r", 1)]).await];
    line.just_before(first).await;
    let last = pause(&line, "r", 1_501).await;
    line.just_before(last).await;
    line.assert_none_served();
    line.at(last).await;
    line.assert_served([("a", last), ("b", last)]).await;
    for caller in callers {
        drop(got(caller).await);
    }
}

pub(crate) async fn a_pause_that_begins_in_front_of_a_line_is_kept(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 600), bucket("b", 10, 5, 1)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    drop(line.hold(&[("b", 10)]).await);
    let callers = [line.join("c", &[("c", 1)]).await, line.join("b", &[("b", 8)]).await];
    let ends = [("c", pause(&line, "c", 2_500).await), ("b", pause(&line, "b", 3_000).await)];
    sleep_ms(500).await; // Attempts from before the pause are over.
    line.end(holder).await;
    line.just_before(ends[0].1).await;
    line.assert_none_served(); // Neither a completion nor a refill ends a pause.
    line.at(ends[1].1).await;
    line.assert_served(ends).await;
    for caller in callers {
        drop(got(caller).await);
    }
}

pub(crate) async fn a_pause_that_lasts_longer_than_the_wait_is_refused_at_once(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 60)]).await;
    let ends = pause(&line, "r", 2_000).await;
    let (margin_ms, asks) = (line.differs().answer_ms_max.max(1), line.elapsed_ms());
    let refused = line.tollgate.acquire(request(&[("r", 1)]), at_most(2_000 - margin_ms)).await.expect_err("in vain");
    assert_eq!((refused.reason.code(), line.tollgate.waiting()), ("limit_paused:r".to_owned(), 0));
    assert_waits_until(&line, ends, refused.retry_after_ms());
    line.assert_elapsed(asks);
    let lease = line.tollgate.acquire(request(&[("r", 1)]), at_most(2_000 + line.late_ms())).await;
    let lease = lease.expect("just in time");
    line.assert_elapsed(ends);
    line.end(lease).await;
    line.assert_nothing_left().await;
}

pub(crate) async fn a_wait_that_ends_inside_a_pause_is_refused_with_what_is_left_of_it(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 60)]).await;
    pause(&line, "r", 1_000).await;
    let caller = line.join_as("a", request(&[("r", 1)]), at_most(1_600)).await;
    sleep_ms(200).await;
    let ends = pause(&line, "r", 59_000).await;
    let refused = refusal(caller).await;
    line.assert_elapsed(1_600);
    assert_eq!(refused.reason.code(), "limit_paused:r");
    assert_waits_until(&line, ends, refused.retry_after_ms());
    line.assert_nothing_left().await;
}

pub(crate) async fn the_end_of_withholding_wakes_exactly_then(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 60), bucket("b", 10, 5, 1)]).await;
    drop(line.hold(&[("b", 10)]).await);
    sleep_ms(800).await;
    // The 4 that have flowed into the bucket are withheld.
    let ends = [("b", tighten(&line, "b", 0, 900).await), ("r", tighten(&line, "r", 2, 1_400).await)];
    let mut callers = Vec::new();
    for (name, key, amount) in [("r", "r", 3), ("b", "b", 7)] {
        callers.push(line.join(name, &[(key, amount)]).await);
    }
    tighten(&line, "b", 0, 300).await;
    line.just_before(ends[0].1).await;
    line.assert_none_served();
    line.at(ends[1].1).await;
    line.assert_served(ends).await;
    for caller in callers {
        drop(got(caller).await);
    }
}

pub(crate) async fn what_completes_under_withholding_wakes_who_fits(place: Place) {
    let line = Line::of(place, [rolling("r", 10, 3)]).await;
    let holder = line.hold(&[("r", 6)]).await;
    let held = line.elapsed_ms();
    let ends = tighten(&line, "r", 0, 2_900).await;
    let callers = [line.join("a", &[("r", 5)]).await, line.join("b", &[("r", 5)]).await];
    sleep_ms((held + 1_500).saturating_sub(line.elapsed_ms())).await; // In the midst of a second.
    let completes = line.elapsed_ms();
    holder.complete_with([("r", 1)]).await.expect("completed");
    line.soon("a is served", async || line.served() == ["a"]).await;
    assert!(line.elapsed_ms() < ends, "and does not wait for the end of that");
    line.assert_served([("a", completes)]).await; // Of the 9 that are free 4 are withheld.
    line.forget_served();
    let left_ms = held + 3_000 - completes;
    let whole_seconds = line.differs().rebooks_for_whole_seconds;
    let frees = completes + if whole_seconds { left_ms.next_multiple_of(1_000) } else { left_ms };
    line.at(frees).await;
    line.assert_served([("b", frees)]).await;
    for caller in callers {
        drop(got(caller).await);
    }
}

pub(crate) async fn nobody_passes_those_who_wait_for_the_end_of_a_pause(place: Place) {
    let line = Line::of(place, [rolling("r", 3, 2), rolling("other", 10, 60)]).await;
    let ends = pause(&line, "r", 1_000).await;
    let mut callers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        callers.push(line.join(name, &[("r", 1)]).await);
    }
    let refused = line.tollgate.reserve(request(&[("other", 1), ("r", 1)])).await.expect_err("paused");
    assert_eq!((refused.reason.code(), refused.denied.len()), ("limit_paused:r".to_owned(), 1));
    assert_waits_until(&line, ends, refused.retry_after_ms());
    line.at(ends).await;
    line.assert_served(["a", "b", "c"].map(|name| (name, ends))).await;
    line.forget_served();
    let refused = line.tollgate.reserve(request(&[("r", 1)])).await.expect_err("full");
    assert_eq!(refused.reason, Reason::Denied);
    if line.differs().knows_waits {
        assert_eq!(refused.retry_after_ms(), 2_000);
    }
    line.at(ends + 2_000).await;
    line.assert_served([("d", ends + 2_000)]).await;
    for caller in callers {
        drop(got(caller).await);
    }
}

pub(crate) async fn a_refusal_names_the_pause_and_also_the_line_of_another_key(place: Place) {
    let line = Line::of(place, [concurrency("c", 2, 600), rolling("r", 10, 60)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let waiting = line.join("a", &[("c", 2)]).await; // One is left, and may not be taken before its turn.
    pause(&line, "r", 5_000).await;
    let refused = line.tollgate.reserve(request(&[("c", 1), ("r", 1)])).await.expect_err("paused");
    assert_eq!(refused.reason.code(), "limit_paused:r");
    if line.differs().knows_waits {
        assert_eq!(refused.retry_after_ms(), 600_000);
    }
    assert_eq!(refused.denied.iter().map(|denied| denied.key.as_str()).collect::<Vec<_>>(), ["c", "r"]);
    line.end(holder).await;
    drop(got(waiting).await);
}

pub(crate) async fn a_call_over_many_keys_goes_through_once_none_is_paused(place: Place) {
    let line = Line::of(place, [rolling("p", 10, 60), concurrency("c", 1, 600), rolling("q", 10, 60)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let (_, last) = (pause(&line, "p", 1_000).await, pause(&line, "q", 2_000).await);
    let waiting = line.join("a", &[("p", 1), ("c", 1), ("q", 1)]).await;
    sleep_ms(200).await;
    line.end(holder).await;
    let free = [line.available("p").await, line.available("c").await, line.available("q").await];
    assert_eq!(free, [10, 1, 10], "who waits holds nothing");
    line.at(last).await;
    line.assert_served([("a", last)]).await;
    drop(got(waiting).await);
}

pub(crate) async fn an_instance_paused_before_its_first_use_is_waited_for(place: Place) {
    let line = Line::of(place, [rolling("t:{x}", 10, 60)]).await;
    let ends = pause(&line, "t:a", 1_500).await;
    let waiting = line.join("a", &[("t:a", 1)]).await;
    drop(line.tollgate.acquire(request(&[("t:b", 1)]), Wait::at_most(LONG)).await.expect("it is another limit"));
    line.at(ends).await;
    line.assert_served([("a", ends)]).await;
    drop(got(waiting).await);
}
