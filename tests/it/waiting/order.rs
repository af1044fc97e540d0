//! The order of a line: first come, first served; priorities that age; tenants that take turns; nobody overtakes.

use std::time::Duration;

use tollgate::actors::Wait;
use tollgate::config::Settings;
use tollgate::policy::{Priority, Reason, Turns};

use super::line::{Caller, LONG, Line, got};
use crate::support::place::Place;
use crate::support::{bucket, concurrency, key, label, request, sleep_ms};

/// Serves everybody, one after the other: each gives its lease back as soon as it has it.
async fn serve_all(line: &Line, callers: Vec<Caller>) -> Vec<String> {
    let ender = |line: Line, caller| tokio::spawn(async move { line.end(got(caller).await).await });
    let enders = callers.into_iter().map(|caller| ender(line.clone(), caller));
    for ender in enders.collect::<Vec<_>>() {
        ender.await.expect("it did not panic");
    }
    line.assert_nothing_left().await;
    line.served()
}

async fn join_tenant(line: &Line, tenant: &str, name: &str) -> Caller {
    let request = request(&[("c", 1)]).for_tenant(label(tenant));
    line.join_as(name, request, Wait::at_most(LONG)).await
}

pub(crate) async fn first_come_first_served(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let mut callers = Vec::new();
    for n in 0..50 {
        callers.push(line.join(&n.to_string(), &[("c", 1)]).await);
    }
    line.end(holder).await;
    let wanted: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(serve_all(&line, callers).await, wanted);
}

pub(crate) async fn higher_priorities_go_first(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let mut callers = Vec::new();
    for (name, priority) in [
        ("low 1", Priority::Low),
        ("normal 1", Priority::Normal),
        ("high 1", Priority::High),
        ("low 2", Priority::Low),
        ("high 2", Priority::High),
        ("normal 2", Priority::Normal),
    ] {
        callers.push(line.join_with(name, priority, &[("c", 1)]).await);
    }
    line.end(holder).await;
    let served = serve_all(&line, callers).await;
    assert_eq!(served, ["high 1", "high 2", "normal 1", "normal 2", "low 1", "low 2"]);
}

pub(crate) async fn a_higher_priority_that_fits_goes_at_once_past_a_lower_one_that_does_not(place: Place) {
    let line = Line::of(place, [concurrency("c", 10, 1_000)]).await;
    let _held = line.hold(&[("c", 5)]).await;
    let big = line.join("big", &[("c", 6)]).await;
    let comes = line.elapsed_ms();
    let high = got(line.join_with("high", Priority::High, &[("c", 5)]).await).await;
    line.settled().await;
    line.assert_served([("high", comes)]).await;
    drop((high, big));
}

pub(crate) async fn no_priority_is_starved(place: Place) {
    let turns = Turns { aging: Duration::from_secs(1), ..Turns::default() };
    let line = Line::with(place, [concurrency("c", 1, 1_000)], |settings| Settings { turns, ..settings }).await;
    let mut held = line.hold(&[("c", 1)]).await;
    let low = line.join_with("low", Priority::Low, &[("c", 1)]).await;
    let mut callers = std::collections::VecDeque::new();
    for turn in 0..120 {
        // Another high one comes each time, and one is served: without aging the low one would wait for ever.
        callers.push_back(line.join_with(&turn.to_string(), Priority::High, &[("c", 1)]).await);
        sleep_ms(100).await;
        drop(held);
        line.settled().await;
        if low.is_finished() {
            assert!(2_000 <= line.elapsed_ms(), "after those who came within its two seconds of aging");
            assert!(!line.differs().is_exact() || turn == 21, "it was served in turn {turn}");
            return;
        }
        held = got(callers.pop_front().expect("one waits")).await;
    }
    panic!("the low one was never served");
}

pub(crate) async fn tenants_take_turns(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let holder = line.hold(&[("c", 1)]).await;
    let mut callers = Vec::new();
    for (tenant, count) in [("a", 6), ("b", 3), ("c", 1)] {
        for n in 0..count {
            callers.push(join_tenant(&line, tenant, &format!("{tenant}{n}")).await);
        }
    }
    line.end(holder).await;
    assert_eq!(serve_all(&line, callers).await, ["a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3", "a4", "a5"]);
}

pub(crate) async fn weights_deal_the_turns(place: Place) {
    let tenant_weights = [(label("a"), 3)].into();
    let turns = Turns { tenant_weights, ..Turns::default() };
    let line = Line::with(place, [concurrency("c", 1, 1_000)], |settings| Settings { turns, ..settings }).await;
    let holder = line.hold(&[("c", 1)]).await;
    let mut callers = Vec::new();
    for tenant in ["a", "b"] {
        for n in 0..6 {
            callers.push(join_tenant(&line, tenant, &format!("{tenant}{n}")).await);
        }
    }
    line.end(holder).await;
    let wanted = ["a0", "a1", "a2", "b0", "a3", "a4", "a5", "b1", "b2", "b3", "b4", "b5"];
    assert_eq!(serve_all(&line, callers).await, wanted);
}

pub(crate) async fn a_plain_reserve_does_not_pass_those_who_wait(place: Place) {
    let line = Line::of(place, [concurrency("c", 10, 1_000), concurrency("d", 10, 1_000)]).await;
    let holder = line.hold(&[("c", 5)]).await;
    let big = line.join("big", &[("c", 6)]).await;
    for requirements in [&[("c", 1)][..], &[("d", 1), ("c", 1)]] {
        let refused = line.tollgate.reserve(request(requirements)).await.expect_err("somebody waits");
        assert_eq!(refused.reason, Reason::Denied);
        assert_eq!(refused.denied.iter().map(|denied| &denied.key).collect::<Vec<_>>(), [&key("c")]);
        assert!(1 <= refused.retry_after_ms());
        let peeked = line.tollgate.peek(&request(requirements).amounts).await.expect_err("somebody waits");
        assert_eq!(peeked.reason, Reason::Denied);
    }
    drop(line.hold(&[("d", 1)]).await);
    let unknown = line.tollgate.reserve(request(&[("c", 1), ("u", 1)])).await.expect_err("unknown");
    assert_eq!(unknown.reason.code(), "unknown_limit_key:u", "reasons keep their order");
    line.end(holder).await;
    drop(got(big).await);
    line.settled().await;
    drop(line.hold(&[("c", 1)]).await);
}

pub(crate) async fn a_lease_that_is_held_is_answered_though_others_wait(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000)]).await;
    let held = request(&[("c", 1)]);
    let grant = line.tollgate.reserve(held.clone()).await.expect("it fits").detach();
    let _waiting = line.join("a", &[("c", 1)]).await;
    assert_eq!(line.tollgate.reserve(held).await.expect("the same again").detach(), grant);
}

pub(crate) async fn small_calls_do_not_pass_a_big_one(place: Place) {
    let line = Line::of(place, [bucket("b", 100, 50, 1)]).await;
    drop(line.hold(&[("b", 100)]).await);
    let mut callers = vec![line.join("big", &[("b", 80)]).await];
    for n in 0..5 {
        callers.push(line.join(&n.to_string(), &[("b", 1)]).await);
    }
    let step_ms = line.differs().step_ms(100, 2_000);
    line.just_before(1_600 - step_ms).await;
    line.assert_none_served();
    line.at(1_700 + step_ms).await;
    let wanted = [("big", 1_600), ("0", 1_620), ("1", 1_640), ("2", 1_660), ("3", 1_680), ("4", 1_700)];
    line.assert_served_by_steps_of(step_ms, wanted).await;
    assert_eq!(line.served(), ["big", "0", "1", "2", "3", "4"]);
    for caller in callers {
        drop(got(caller).await);
    }
}
