//! Waiting for several limits at once.

use super::line::{Line, got};
use crate::support::place::Place;
use crate::support::{concurrency, rolling};

pub(crate) async fn a_caller_waits_until_all_of_its_keys_are_free(place: Place) {
    let line = Line::of(place, [concurrency("a", 1, 1), rolling("b", 1, 2), concurrency("c", 1, 1)]).await;
    for key in ["a", "b", "c"] {
        let _grant = line.hold(&[(key, 1)]).await.detach();
    }
    let waiting = line.join("x", &[("a", 1), ("b", 1), ("c", 1)]).await;
    line.just_before(2_000).await;
    assert_eq!((line.available("a").await, line.available("c").await), (1, 1), "it holds nothing while it waits");
    line.at(2_000).await;
    line.assert_served([("x", 2_000)]).await;
    drop(got(waiting).await);
}

pub(crate) async fn a_caller_moves_to_the_line_of_the_key_that_stops_it_and_keeps_its_place(place: Place) {
    let line = Line::of(place, [concurrency("a", 1, 1_000), concurrency("b", 1, 2_000)]).await;
    let (a, b) = (line.hold(&[("a", 1)]).await, line.hold(&[("b", 1)]).await);
    let first = line.join("first", &[("a", 1), ("b", 1)]).await;
    if line.differs().knows_waits {
        assert_eq!((line.waiters("a").await, line.waiters("b").await), (0, 1), "the longest wait decides");
    }
    let waiters = async || (line.waiters("a").await, line.waiters("b").await);
    line.end(b).await;
    line.soon("it waits for a", async || waiters().await == (1, 0)).await;
    let b = line.hold(&[("b", 1)]).await;
    let second = line.join("second", &[("b", 1)]).await;
    line.end(a).await;
    line.soon("it is stopped by b again", async || waiters().await == (0, 2)).await;
    line.end(b).await;
    let first = got(first).await;
    assert_eq!(line.served(), ["first"], "second is in this line for longer, but came later");
    line.end(first).await;
    line.end(got(second).await).await;
    line.assert_nothing_left().await;
}

pub(crate) async fn callers_who_cross_do_not_block_each_other(place: Place) {
    let line = Line::of(place, [concurrency("a", 1, 1_000), concurrency("b", 1, 1_000)]).await;
    let (a, b) = (line.hold(&[("a", 1)]).await, line.hold(&[("b", 1)]).await);
    let mut enders = Vec::new();
    for n in 0..200 {
        let mut keys = [("a", 1), ("b", 1)];
        keys.rotate_left(n % 2);
        let caller = line.join(&n.to_string(), &keys[..1 + n % 3 / 2]).await;
        enders.push(tokio::spawn(async move { got(caller).await.complete_with([]).await }));
    }
    line.end(b).await;
    line.end(a).await;
    for ender in enders {
        ender.await.expect("it did not panic").expect("completed");
    }
    assert_eq!(line.served().len(), 200);
    assert!(line.elapsed_ms() < if line.differs().is_exact() { 1 } else { 1_000_000 }, "nobody waited for a timeout");
    line.assert_nothing_left().await;
}
