//! Refusals: which reason comes first, which keys failed, and when to come back. Peeking answers the same.

use std::num::NonZeroU64;
use std::time::Duration;

use tollgate::policy::{Key, LimitState, Reason, Refusal};

use super::harness::{Harness, denied};
use crate::support::{LONG, bucket, concurrency, one_of_each_kind, request, rolling};

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

/// `free`, `full`, `decreasing` and `decreasing2`, each of capacity 10.
async fn put_states(ledger: &Harness) {
    for key in ["free", "full", "full2", "decreasing", "decreasing2"] {
        ledger.put(concurrency(key, 10, 1_000)).await;
        if key != "free" {
            ledger.grant(&[(key, 10)]).await;
        }
    }
    for key in ["decreasing", "decreasing2"] {
        let to = NonZeroU64::new(5).expect("positive");
        assert_eq!(ledger.put(concurrency(key, 5, 1_000)).await, LimitState::Decreasing { to });
    }
}

pub(crate) async fn the_first_reason_wins_wherever_its_key_stands(ledger: Harness) {
    put_states(&ledger).await;
    let ranked = [("unknown", 1), ("free", 11), ("decreasing", 1), ("full", 1)];
    let codes = ["unknown_limit_key:unknown", "never_fits:free", "limit_decreasing:decreasing", ""];
    for first in 0..ranked.len() {
        let mut requirements = ranked[first..].to_vec();
        for _ in 0..requirements.len() {
            requirements.rotate_left(1);
            assert_eq!(ledger.code(&requirements).await, codes[first], "{requirements:?}");
            let peeked = ledger.peek(&requirements).await.expect_err("refused");
            assert_eq!(peeked.reason.code(), codes[first], "{requirements:?}, peeked");
        }
    }
}

pub(crate) async fn among_keys_with_one_reason_the_first_in_the_request_is_named(ledger: Harness) {
    put_states(&ledger).await;
    assert_eq!(ledger.code(&[("u1", 1), ("u2", 1)]).await, "unknown_limit_key:u1");
    assert_eq!(ledger.code(&[("u2", 1), ("u1", 1)]).await, "unknown_limit_key:u2");
    assert_eq!(ledger.code(&[("full", 11), ("free", 11)]).await, "never_fits:full");
    assert_eq!(ledger.code(&[("free", 11), ("full", 11)]).await, "never_fits:free");
    assert_eq!(ledger.code(&[("decreasing2", 1), ("decreasing", 1)]).await, "limit_decreasing:decreasing2");
    assert_eq!(ledger.code(&[("decreasing", 1), ("decreasing2", 1)]).await, "limit_decreasing:decreasing");
}

pub(crate) async fn a_decreasing_key_is_retried_after_the_configured_time(ledger: Harness) {
    put_states(&ledger).await;
    let refusal = ledger.refuse(&[("decreasing", 1)]).await;
    assert_eq!(refusal.retry_after_ms(), 10_000);
    assert_eq!(ledger.code(&[("decreasing", 6)]).await, "never_fits:decreasing", "it is above the capacity to come");
}

pub(crate) async fn every_failing_key_is_listed_in_order_with_what_it_has(ledger: Harness) {
    ledger.put_all([rolling("r", 10, LONG), concurrency("c", 10, 20), rolling("ok", 9, 9)]).await;
    ledger.put(bucket("b", 10, 1, 1_000_000)).await;
    ledger.grant(&[("r", 8), ("c", 9), ("b", 7)]).await;
    let refusal = ledger.refuse(&[("b", 5), ("ok", 1), ("c", 5), ("r", 5)]).await;
    let listed: Vec<_> = refusal.denied.iter().map(|d| (d.key.as_str(), d.capacity, d.available)).collect();
    assert_eq!(listed, [("b", 10, 3), ("c", 10, 1), ("r", 10, 2)]);
    assert!(1 <= refusal.retry_after_ms());
    assert_eq!(refusal.retry_after, refusal.denied.iter().map(|d| d.retry_after).max().expect("three keys"));
    if ledger.differs.knows_waits {
        assert_eq!(denied(&refusal), [("b", 2_000_000_000), ("c", 20_000), ("r", LONG * 1_000)]);
        assert_eq!(refusal.retry_after_ms(), LONG * 1_000, "the longest wait");
    }
}

pub(crate) async fn hints_grow_where_waits_are_not_known(ledger: Harness) {
    if ledger.differs.knows_waits {
        return;
    }
    ledger.put_all([rolling("r", 10, 20), concurrency("c", 10, 20)]).await;
    ledger.grant(&[("r", 10), ("c", 10)]).await;
    // As policy::retry_after has them, with jitter on top.
    for (key, hints, jitter_ms) in [("r", [2_000, 3_000, 4_500, 5_000], 50), ("c", [50, 100, 200, 400], 25)] {
        for hint in hints {
            let told = ledger.refuse(&[(key, 1)]).await.retry_after_ms();
            assert!((hint..=hint + jitter_ms).contains(&told), "{told} ms for `{key}`, and not {hint}");
        }
    }
}

pub(crate) async fn a_retry_is_granted_exactly_when_promised(ledger: Harness) {
    if !ledger.differs.knows_waits {
        return;
    }
    for (kind, frees) in KINDS.into_iter().zip([60_000, 60_000, 12_000]) {
        ledger.put_all(one_of_each_kind(10, 60)).await;
        let lease = ledger.grant(&[(kind, 9)]).await;
        let refusal = ledger.refuse(&[(kind, 3)]).await;
        assert_eq!(denied(&refusal), [(kind, frees)]);
        ledger.pass(frees - 1).await;
        assert_eq!(denied(&ledger.refuse(&[(kind, 3)]).await), [(kind, 1)]);
        ledger.pass(1).await;
        ledger.grant(&[(kind, 3)]).await;
        ledger.end(lease, &[]).await;
    }
}

pub(crate) async fn the_promise_counts_only_as_many_holds_as_the_amount_needs(ledger: Harness) {
    if !ledger.differs.knows_waits {
        return;
    }
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 60)]).await;
    for key in ["r", "c"] {
        for amount in [2, 3, 5] {
            ledger.grant(&[(key, amount)]).await;
            ledger.pass(1_000).await;
        }
        for (amount, wait) in [(1, 57_000), (2, 57_000), (3, 58_000), (5, 58_000), (6, 59_000), (10, 59_000)] {
            assert_eq!(denied(&ledger.refuse(&[(key, amount)]).await), [(key, wait)], "{amount}");
        }
        ledger.pass(57_999).await;
        assert!(ledger.reserve(&[(key, 5)]).await.is_err());
        ledger.pass(1).await;
        ledger.grant(&[(key, 5)]).await;
    }
}

pub(crate) async fn a_bucket_promises_the_millisecond_in_which_the_last_unit_is_whole(ledger: Harness) {
    if !ledger.differs.knows_waits {
        return;
    }
    ledger.put(bucket("b", 10, 7, 3)).await; // A unit takes 428.57 ms.
    ledger.grant(&[("b", 10)]).await;
    for amount in [1, 2, 7] {
        let refusal = ledger.refuse(&[("b", amount)]).await;
        let wait = refusal.retry_after_ms();
        assert_eq!(wait, (amount * 3_000).div_ceil(7), "{amount}");
        ledger.pass(wait - 1).await;
        assert!(ledger.reserve(&[("b", amount)]).await.is_err(), "{amount}");
        ledger.pass(1).await;
        ledger.grant(&[("b", amount)]).await;
        // Down to nothing again, the begun unit included.
        ledger.remove("b").await;
        ledger.put(bucket("b", 10, 7, 3)).await;
        ledger.grant(&[("b", 10)]).await;
    }
}

pub(crate) async fn a_retry_over_many_keys_is_granted_after_the_longest_wait(ledger: Harness) {
    if !ledger.differs.knows_waits {
        return;
    }
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 20), bucket("b", 10, 1, 7)]).await;
    ledger.grant(&[("r", 10), ("c", 10), ("b", 10)]).await;
    let wanted = [("r", 1), ("c", 1), ("b", 9)];
    assert_eq!(ledger.refuse(&wanted).await.retry_after_ms(), 63_000);
    ledger.pass(62_999).await;
    assert_eq!(denied(&ledger.refuse(&wanted).await), [("b", 1)], "the others are free by now");
    ledger.pass(1).await;
    ledger.grant(&wanted).await;
}

pub(crate) async fn a_rolling_window_slides(ledger: Harness) {
    ledger.put(rolling("r", 10, 1)).await;
    ledger.pass(900).await; // Were windows fixed, 20 would pass around the end of one.
    ledger.grant(&[("r", 10)]).await;
    let granted = ledger.now();
    ledger.just_before(granted, 1_000).await;
    assert_eq!(ledger.code(&[("r", 1)]).await, "");
    ledger.at(granted, 1_000).await;
    ledger.wait_for("r", 10).await;
    ledger.grant(&[("r", 10)]).await;
}

pub(crate) async fn a_bucket_refills_continuously_up_to_its_capacity(ledger: Harness) {
    ledger.put(bucket("b", 10, 5, 1)).await; // A unit takes 200 ms.
    ledger.grant(&[("b", 10)]).await;
    let empty = ledger.now();
    for ms in [0, 199, 200, 399, 400, 599, 600, 1_399, 1_400] {
        ledger.reach(empty.after(Duration::from_millis(ms))).await;
        ledger.assert_refilled("b", 0, empty).await;
    }
    ledger.at(empty, 2_000 + ledger.differs.step_ms(10, 2_000)).await;
    ledger.wait_for("b", 10).await;
    assert_eq!(ledger.available("b").await, 10);
    ledger.pass(500).await;
    assert_eq!(ledger.available("b").await, 10);
}

/// What a refusal says, but for the wait: the reason, and which keys failed with how much of what.
fn told(refusal: &Refusal) -> (&Reason, Vec<(&Key, u64, u64)>) {
    (&refusal.reason, refusal.denied.iter().map(|denied| (&denied.key, denied.capacity, denied.available)).collect())
}

pub(crate) async fn peeking_answers_as_reserving_would_and_charges_nothing(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    for key in KINDS {
        for amount in [1, 10] {
            assert_eq!(ledger.peek(&[(key, amount)]).await, Ok(()));
            assert_eq!(ledger.available(key).await, 10);
        }
    }
    ledger.grant(&KINDS.map(|key| (key, 8))).await;
    let cases: [&[(&str, u64)]; 4] = [
        &[("rolling", 5), ("concurrency", 1), ("token_bucket", 3)],
        &[("concurrency", 2), ("concurrency", 1)],
        &[("rolling", 11)],
        &[("rolling", 3), ("unknown", 1)],
    ];
    for case in cases {
        let (peeked, refused) = (ledger.peek(case).await.expect_err("refused"), ledger.refuse(case).await);
        assert_eq!(told(&peeked), told(&refused), "{case:?}");
        assert!(!ledger.differs.knows_waits || peeked == refused, "{case:?}: {peeked:?} and {refused:?}");
    }
    assert_eq!(ledger.available("rolling").await, 2);
    let denied = ledger.usage("concurrency").await.counters.denied;
    assert_eq!(denied, 1, "a refused peek is no denial");
}

pub(crate) async fn a_peek_of_nothing_asks_about_the_key_alone(ledger: Harness) {
    put_states(&ledger).await;
    assert_eq!(ledger.peek(&[("free", 0)]).await, Ok(()));
    assert_eq!(ledger.peek(&[("full", 0)]).await, Ok(()), "nothing fits where nothing is left");
    let code = |refused: Result<(), tollgate::policy::Refusal>| refused.expect_err("refused").reason.code();
    assert_eq!(code(ledger.peek(&[("decreasing", 0)]).await), "limit_decreasing:decreasing");
    assert_eq!(code(ledger.peek(&[("unknown", 0)]).await), "unknown_limit_key:unknown");
}

pub(crate) async fn a_refusal_counts_at_the_limits_that_stopped_it(ledger: Harness) {
    put_states(&ledger).await;
    let before = ledger.totals().denied;
    let refusal = ledger.send(&request(&[("free", 1), ("full", 1), ("full2", 1)])).await.expect_err("full");
    assert_eq!(refusal.reason, Reason::Denied);
    let mut denied = Vec::new();
    for key in ["free", "full", "full2"] {
        denied.push(ledger.usage(key).await.counters.denied);
    }
    assert_eq!((denied, ledger.totals().denied - before), (vec![0, 1, 1], 1));
}
