//! Changing limits: raising, lowering, shadow mode. A decrease is never stuck.

use std::num::NonZeroU64;
use std::sync::Arc;

use tollgate::backends::{Applied, Registered, Settled};
use tollgate::policy::{DefinitionFields, LimitState, Mode, Overage};

use super::harness::Harness;
use crate::support::{LONG, bucket, checked, concurrency, key, one_of_each_kind, rolling};

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

fn decreasing(to: u64) -> LimitState {
    LimitState::Decreasing { to: NonZeroU64::new(to).expect("positive") }
}

pub(crate) async fn a_raise_works_at_once(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 60)]).await;
    for key in ["r", "c"] {
        ledger.grant(&[(key, 10)]).await;
    }
    ledger.put_all([rolling("r", 15, 60), concurrency("c", 15, 60)]).await;
    for key in ["r", "c"] {
        assert_eq!((ledger.available(key).await, ledger.usage(key).await.capacity), (5, 15));
        ledger.grant(&[(key, 5)]).await;
    }
}

pub(crate) async fn a_raised_bucket_fills_up_to_its_new_capacity(ledger: Harness) {
    for (key, refill_seconds) in [("slow", LONG), ("fast", 1)] {
        ledger.put(bucket(key, 10, 5, refill_seconds)).await;
        ledger.put(bucket(key, 15, 5, refill_seconds)).await;
    }
    let raised = ledger.now();
    assert_eq!((ledger.available("slow").await, ledger.code(&[("slow", 11)]).await), (10, String::new()));
    ledger.assert_refilled("fast", 10, raised).await;
    ledger.just_before(raised, 1_000).await;
    ledger.assert_refilled("fast", 10, raised).await;
    ledger.at(raised, 1_000 + ledger.differs.step_ms(15, 3_000)).await;
    ledger.wait_for("fast", 15).await;
    assert_eq!((ledger.available("slow").await, ledger.available("fast").await), (10, 15));
}

pub(crate) async fn a_decrease_that_fits_is_applied_at_once(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    ledger.grant(&KINDS.map(|key| (key, 4))).await;
    for definition in one_of_each_kind(5, LONG) {
        assert_eq!(ledger.put(definition).await, LimitState::Active);
    }
    for key in KINDS {
        assert_eq!((ledger.available(key).await, ledger.usage(key).await.capacity), (1, 5), "{key}");
    }
}

pub(crate) async fn nothing_is_admitted_until_a_decrease_is_applied(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    for (kind, lower) in KINDS.into_iter().zip(one_of_each_kind(5, LONG)) {
        let (first, second) = (ledger.grant(&[(kind, 4)]).await, ledger.grant(&[(kind, 3)]).await);
        assert_eq!(ledger.put(lower).await, decreasing(5));
        assert_eq!(ledger.usage(kind).await.state, decreasing(5));
        let refusal = ledger.refuse(&[(kind, 1)]).await;
        assert_eq!((refusal.reason.code(), refusal.retry_after_ms()), (format!("limit_decreasing:{kind}"), 10_000));
        ledger.end(second, &[(kind, 0)]).await; // The completion drives it: 6 are free, 5 must be.
        let usage = ledger.usage(kind).await;
        assert_eq!((usage.state, usage.capacity, usage.available), (LimitState::Active, 5, 1), "{kind}");
        ledger.grant(&[(kind, 1)]).await;
        ledger.end(first, &[]).await;
    }
}

pub(crate) async fn a_decrease_is_applied_when_enough_has_expired(ledger: Harness) {
    let ms = ledger.differs.window_ms(3_000);
    let seconds = ms / 1_000;
    ledger.put_all([rolling("r", 10, seconds), concurrency("c", 10, seconds), bucket("b", 16, 16, seconds)]).await;
    ledger.grant(&[("r", 4), ("c", 4), ("b", 16)]).await;
    let granted = ledger.now();
    ledger.pass(400).await; // Some units flow into the bucket.
    ledger.grant(&[("r", 4), ("c", 4)]).await;
    // 2 are free and 5 must be; of the bucket 8.
    assert_eq!(ledger.put(bucket("b", 8, 16, seconds)).await, decreasing(8));
    for fields in [rolling("r", 5, seconds), concurrency("c", 5, seconds)] {
        assert_eq!(ledger.put(fields).await, decreasing(5));
    }
    let decreasing = async |text| {
        let Settled::Decreasing { next_change } = ledger.settle(text).await else { panic!("{text} is decreasing") };
        assert!(next_change.is_some(), "{text}: a timer must drive it");
        assert_eq!(ledger.code(&[(text, 1)]).await, format!("limit_decreasing:{text}"));
    };
    let active = async |text, capacity| {
        ledger.soon(text, async || ledger.settle(text).await == Settled::Active).await;
        assert_eq!(ledger.usage(text).await.capacity, capacity, "{text}");
    };
    let step_ms = ledger.differs.step_ms(16, ms);
    ledger.just_before(granted, ms / 2 - step_ms).await;
    decreasing("b").await;
    ledger.at(granted, ms / 2 + step_ms).await;
    active("b", 8).await;
    ledger.just_before_by(4, granted, ms).await;
    for text in ["r", "c"] {
        decreasing(text).await;
    }
    ledger.at(granted, ms).await;
    for text in ["r", "c"] {
        active(text, 5).await;
    }
}

pub(crate) async fn a_reservation_finds_a_decrease_that_is_due(ledger: Harness) {
    let ms = ledger.differs.window_ms(1_000);
    ledger.put(concurrency("c", 10, ms / 1_000)).await;
    ledger.grant(&[("c", 8)]).await;
    let granted = ledger.now();
    assert_eq!(ledger.put(concurrency("c", 5, ms / 1_000)).await, decreasing(5));
    ledger.at(granted, ms).await;
    ledger.soon("a reservation drives it", async || ledger.reserve(&[("c", 1)]).await.is_ok()).await;
    ledger.grant(&[("c", 4)]).await;
    assert_eq!(ledger.usage("c").await.capacity, 5);
}

pub(crate) async fn a_second_decrease_replaces_the_target(ledger: Harness) {
    ledger.put(concurrency("c", 10, 60)).await;
    let (big, small) = (ledger.grant(&[("c", 4)]).await, ledger.grant(&[("c", 3)]).await);
    assert_eq!(ledger.put(concurrency("c", 5, 60)).await, decreasing(5));
    assert_eq!(ledger.put(concurrency("c", 2, 60)).await, decreasing(2));
    ledger.end(small, &[]).await;
    assert_eq!(ledger.usage("c").await.state, decreasing(2), "5 would fit by now, 2 does not");
    assert_eq!(ledger.put(concurrency("c", 4, 60)).await, LimitState::Active);
    assert_eq!((ledger.available("c").await, ledger.usage("c").await.capacity), (0, 4));
    ledger.end(big, &[]).await;
    assert_eq!(ledger.available("c").await, 4);
}

pub(crate) async fn a_raise_ends_a_decrease(ledger: Harness) {
    for (raised, available) in [(10, 3), (12, 5)] {
        ledger.put(concurrency("c", 10, 60)).await;
        let lease = ledger.grant(&[("c", 7)]).await;
        assert_eq!(ledger.put(concurrency("c", 5, 60)).await, decreasing(5));
        assert_eq!(ledger.put(concurrency("c", raised, 60)).await, LimitState::Active);
        assert_eq!(ledger.available("c").await, available);
        ledger.end(lease, &[]).await;
    }
}

pub(crate) async fn the_same_version_again_changes_nothing(ledger: Harness) {
    ledger.put(concurrency("c", 10, 60)).await;
    ledger.grant(&[("c", 7)]).await;
    let lower = Arc::new(Registered { definition: checked(concurrency("c", 5, 60)), version: 99 });
    for _ in 0..2 {
        assert_eq!(ledger.backend.apply(&lower).get().await, Ok(Applied::InForce(decreasing(5))));
    }
    assert_eq!(ledger.usage("c").await.state, decreasing(5));
}

pub(crate) async fn an_older_version_is_superseded(ledger: Harness) {
    ledger.put_all([concurrency("c", 10, 60), rolling("t:{x}", 10, 60)]).await;
    let apply = async |fields, version| {
        let registered = Arc::new(Registered { definition: checked(fields), version });
        ledger.backend.apply(&registered).get().await
    };
    let superseded = Ok(Applied::Superseded { version: 99 });
    for wanted in [|capacity| concurrency("c", capacity, 60), |capacity| rolling("t:{x}", capacity, 60)] {
        assert_eq!(apply(wanted(20), 99).await, Ok(Applied::InForce(LimitState::Active)));
        assert_eq!(apply(wanted(50), 98).await, superseded, "it comes too late");
        assert_eq!(apply(wanted(50), 99).await, superseded, "another one with the version");
        assert_eq!(apply(wanted(20), 99).await, Ok(Applied::InForce(LimitState::Active)), "the one in force");
    }
    assert_eq!(ledger.available("c").await, 20);
    ledger.grant(&[("t:a", 20)]).await;
}

pub(crate) async fn a_new_window_concerns_later_reservations(ledger: Harness) {
    let ms = ledger.differs.window_ms(1_000);
    let seconds = ms / 1_000;
    ledger.put(rolling("r", 10, 2 * seconds)).await;
    ledger.grant(&[("r", 5)]).await;
    let first = ledger.now();
    ledger.put(rolling("r", 10, seconds)).await;
    ledger.grant(&[("r", 5)]).await;
    ledger.at(ledger.now(), ms).await;
    ledger.wait_for("r", 5).await;
    assert_eq!(ledger.available("r").await, 5);
    ledger.just_before(first, 2 * ms).await;
    assert_eq!(ledger.available("r").await, 5);
    ledger.at(first, 2 * ms).await;
    ledger.wait_for("r", 10).await;
    assert_eq!(ledger.available("r").await, 10);
}

pub(crate) async fn a_shadow_limit_decides_and_counts_and_never_denies(ledger: Harness) {
    let shadow = |fields| DefinitionFields { mode: Mode::Shadow, ..fields };
    ledger.put_all(one_of_each_kind(10, LONG).map(shadow)).await;
    for key in KINDS {
        ledger.grant(&[(key, 10)]).await;
        let beyond = ledger.grant(&[(key, 5)]).await;
        ledger.grant(&[(key, 11)]).await;
        assert_eq!(ledger.peek(&[(key, 1)]).await, Ok(()));
        let usage = ledger.usage(key).await;
        assert_eq!((usage.available, usage.counters.would_deny, usage.counters.denied), (0, 2, 0), "{key}");
        ledger.end(beyond, &[(key, 1)]).await;
    }
    assert_eq!((ledger.totals().granted, ledger.totals().denied), (9, 0));
    assert_eq!(ledger.code(&[("unknown", 1)]).await, "unknown_limit_key:unknown");
}

pub(crate) async fn a_shadow_limit_is_charged_only_with_the_others(ledger: Harness) {
    let ms = ledger.differs.window_ms(1_000);
    ledger.put(DefinitionFields { mode: Mode::Shadow, ..concurrency("shadow", 10, ms / 1_000) }).await;
    ledger.put(concurrency("c", 1, ms / 1_000)).await;
    ledger.grant(&[("c", 1), ("shadow", 10)]).await;
    let granted = ledger.now();
    let refusal = ledger.refuse(&[("shadow", 1), ("c", 1)]).await;
    assert_eq!(refusal.denied.iter().map(|denied| &denied.key).collect::<Vec<_>>(), [&key("c")]);
    assert_eq!(ledger.available("shadow").await, 0);
    ledger.at(granted, ms).await;
    ledger.wait_for("shadow", 10).await;
    ledger.wait_for("c", 1).await;
    assert_eq!((ledger.available("shadow").await, ledger.available("c").await), (10, 1));
}

pub(crate) async fn turning_shadow_off_enforces_what_is_taken(ledger: Harness) {
    let shadow = |fields| DefinitionFields { mode: Mode::Shadow, ..fields };
    ledger.put(shadow(rolling("r", 10, 2))).await;
    for _ in 0..3 {
        ledger.grant(&[("r", 6)]).await;
    }
    let granted = ledger.now();
    ledger.put(rolling("r", 10, 2)).await;
    let free = if ledger.differs.charges_shadow_beyond_capacity { 0 } else { 4 };
    assert_eq!((ledger.available("r").await, ledger.code(&[("r", free + 1)]).await), (free, String::new()));
    ledger.at(granted, 2_000).await;
    ledger.wait_for("r", 10).await;
    ledger.grant(&[("r", 10)]).await;
}

pub(crate) async fn policies_can_change_while_debt_is_owed(ledger: Harness) {
    let with = |overage| DefinitionFields { overage, ..bucket("b", 10, 10, 1) };
    ledger.put(with(Overage::Repay)).await;
    let lease = ledger.grant(&[("b", 10)]).await;
    let granted = ledger.now();
    ledger.end(lease, &[("b", 15)]).await;
    ledger.put(with(Overage::Debt)).await;
    ledger.put(with(Overage::Repay)).await;
    ledger.at(granted, 1_500 + ledger.differs.step_ms(10, 1_000)).await;
    ledger.wait_for("b", 10).await;
    assert_eq!((ledger.available("b").await, ledger.usage("b").await.debt), (10, 0));
}

pub(crate) async fn a_raise_pays_debt_at_once(ledger: Harness) {
    let repay = |capacity| DefinitionFields { overage: Overage::Repay, ..rolling("r", capacity, 60) };
    ledger.put(repay(10)).await;
    let lease = ledger.grant(&[("r", 5)]).await;
    ledger.end(lease, &[("r", 12)]).await;
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (0, 2));
    ledger.put(repay(13)).await;
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (1, 0));
}

pub(crate) async fn the_observer_hears_of_watched_limits_that_free(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    for kind in KINDS {
        let (first, second) = (ledger.grant(&[(kind, 4)]).await, ledger.grant(&[(kind, 4)]).await);
        ledger.end(first, &[(kind, 0)]).await;
        ledger.assert_heard_nothing_of(kind);
        ledger.backend.watch(&key(kind), true);
        ledger.end(second, &[(kind, 0)]).await;
        ledger.assert_hears_of(kind).await;
    }
    ledger.remove("rolling").await; // It is gone, which its waiters must learn.
    ledger.assert_hears_of("rolling").await;
}
