//! Completing: what was not used is free at once, what was used beyond the reservation is charged by its policy.

use std::time::Duration;

use tollgate::policy::{DefinitionFields, LeaseError, LeaseId, Moment, Overage};

use super::harness::Harness;
use crate::support::{LONG, bucket, concurrency, key, one_of_each_kind, rolling};

pub(crate) async fn concurrency_is_released_whatever_was_used(ledger: Harness) {
    ledger.put(concurrency("c", 10, 1_000)).await;
    let cases: [&[(&str, u64)]; 5] = [&[], &[("c", 0)], &[("c", 3)], &[("c", 7)], &[("c", u64::MAX)]];
    for actuals in cases {
        let lease = ledger.grant(&[("c", 7)]).await;
        assert_eq!(ledger.available("c").await, 3);
        ledger.end(lease, actuals).await;
        assert_eq!((ledger.available("c").await, ledger.usage("c").await.debt), (10, 0), "{actuals:?}");
    }
}

pub(crate) async fn what_was_not_used_is_free_at_once(ledger: Harness) {
    let ms = ledger.differs.window_ms(1_000);
    ledger.put_all([rolling("r", 10, ms / 1_000), bucket("slow", 10, 1, LONG), bucket("fast", 10, 5, 1)]).await;
    let lease = ledger.grant(&[("r", 8), ("slow", 8), ("fast", 8)]).await;
    let granted = ledger.now();
    ledger.end(lease, &[("r", 3), ("slow", 3), ("fast", 3)]).await;
    let ended = ledger.now();
    assert_eq!((ledger.available("r").await, ledger.available("slow").await), (7, 7));
    ledger.assert_refilled("fast", 7, granted).await;
    ledger.at_rebooked(granted, ms, ended).await;
    ledger.wait_for("r", 10).await;
    assert_eq!((ledger.available("r").await, ledger.available("slow").await), (10, 7));
    assert_eq!(ledger.available("fast").await, 10, "and never more");
}

pub(crate) async fn the_used_rest_keeps_its_expiry(ledger: Harness) {
    ledger.put(rolling("r", 10, 2)).await;
    let lease = ledger.grant(&[("r", 8)]).await;
    let granted = ledger.now();
    ledger.pass(700).await;
    ledger.end(lease, &[("r", 3)]).await;
    let ended = ledger.now();
    ledger.just_before(granted, 2_000).await;
    assert_eq!(ledger.available("r").await, 7);
    ledger.at_rebooked(granted, 2_000, ended).await;
    ledger.wait_for("r", 10).await;
    assert_eq!(ledger.available("r").await, 10);
}

pub(crate) async fn a_call_that_never_ran_gives_everything_back(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    let keys = ["rolling", "concurrency", "token_bucket"];
    let lease = ledger.grant(&keys.map(|key| (key, 10))).await;
    ledger.pass(1).await;
    ledger.end(lease, &keys.map(|key| (key, 0))).await;
    for key in keys {
        assert_eq!(ledger.available(key).await, 10, "{key}");
    }
}

pub(crate) async fn a_key_without_an_actual_keeps_what_it_reserved(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    let lease = ledger.grant(&[("rolling", 4), ("token_bucket", 5), ("concurrency", 6)]).await;
    ledger.end(lease, &[("token_bucket", 1)]).await;
    assert_eq!((ledger.available("rolling").await, ledger.available("token_bucket").await), (6, 9));
    assert_eq!(ledger.available("concurrency").await, 10);
}

pub(crate) async fn actuals_of_one_key_are_added_up(ledger: Harness) {
    ledger.put(rolling("r", 10, 60)).await;
    let lease = ledger.grant(&[("r", 8)]).await;
    ledger.end(lease, &[("r", 1), ("r", 2)]).await;
    assert_eq!(ledger.available("r").await, 7);
}

pub(crate) async fn a_key_that_is_not_held_changes_nothing(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 60), rolling("other", 10, 60)]).await;
    let lease = ledger.grant(&[("r", 4), ("c", 4)]).await;
    for stray in ["other", "unknown"] {
        let refused = ledger.complete(lease, &[("r", 1), (stray, 1)]).await;
        assert_eq!(refused, Err(LeaseError::KeyNotHeld(key(stray))));
    }
    assert_eq!((ledger.available("r").await, ledger.available("c").await), (6, 6));
    assert!(ledger.is_live(lease).await);
    ledger.end(lease, &[("r", 1)]).await;
    assert_eq!((ledger.available("r").await, ledger.available("c").await), (9, 10));
}

pub(crate) async fn an_unknown_lease_and_one_that_is_over_are_no_error(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 2), concurrency("c", 10, 60)]).await;
    assert_eq!(ledger.complete(LeaseId::generate(), &[("r", 1)]).await, Ok(()));
    let lease = ledger.grant(&[("r", 5), ("c", 5)]).await;
    ledger.end(lease, &[("r", 2)]).await;
    for again in [0, 5, 100] {
        assert_eq!(ledger.complete(lease, &[("r", again)]).await, Ok(()));
    }
    assert_eq!(ledger.available("r").await, 8, "only the first completion counts");
    let expired = ledger.grant(&[("r", 5)]).await;
    ledger.at(ledger.now(), 2_000).await;
    ledger.wait_for("r", 10).await;
    assert_eq!(ledger.complete(expired, &[("r", 100)]).await, Ok(()));
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (10, 0));
}

pub(crate) async fn use_beyond_the_reservation_is_reserved_where_it_fits(ledger: Harness) {
    let ms = ledger.differs.window_ms(2_000);
    let seconds = ms / 1_000;
    ledger.put_all([rolling("r", 10, seconds), bucket("slow", 10, 1, LONG), bucket("fast", 10, 1, seconds / 2)]).await;
    let lease = ledger.grant(&[("r", 2), ("slow", 2), ("fast", 2)]).await;
    let granted = ledger.now();
    ledger.pass(ms * 6 / 10).await;
    ledger.end(lease, &[("r", 7), ("slow", 7), ("fast", 7)]).await;
    let ended = ledger.now();
    assert_eq!((ledger.available("r").await, ledger.available("slow").await), (3, 3));
    ledger.assert_refilled("fast", 3, granted).await;
    for key in ["r", "slow", "fast"] {
        let usage = ledger.usage(key).await;
        assert_eq!((usage.debt, usage.counters.overage), (0, 0), "{key}");
    }
    ledger.at_rebooked(granted, ms, ended).await;
    ledger.wait_for("r", 5).await;
    assert_eq!(ledger.available("r").await, 5, "the excess counts from when it was charged");
    ledger.just_before(ended, ms).await;
    assert_eq!(ledger.available("r").await, 5);
    ledger.at(ended, ms).await;
    ledger.wait_for("r", 10).await;
    assert_eq!(ledger.available("r").await, 10);
}

/// Reserves 5 of 10 of `definition`, uses 12, and says when it had reserved and when it was done.
async fn overuse(ledger: &Harness, definition: DefinitionFields) -> (Moment, Moment) {
    let key = definition.key.clone();
    ledger.put(definition).await;
    let lease = ledger.grant(&[(&key, 5)]).await;
    let granted = ledger.now();
    ledger.end(lease, &[(&key, 12)]).await;
    (granted, ledger.now())
}

/// What is available of `key`, what is owed, and what was used beyond reservations and did not fit.
async fn books(ledger: &Harness, key: &str) -> (u64, u128, u64) {
    let usage = ledger.usage(key).await;
    (usage.available, usage.debt, usage.counters.overage)
}

pub(crate) async fn overage_that_is_denied_is_only_counted(ledger: Harness) {
    let deny = |fields| DefinitionFields { overage: Overage::Deny, ..fields };
    let ms = ledger.differs.window_ms(1_000);
    let (granted, ended) = overuse(&ledger, deny(rolling("r", 10, ms / 1_000))).await;
    assert_eq!(books(&ledger, "r").await, (0, 0, 2));
    overuse(&ledger, deny(bucket("slow", 10, 1, LONG))).await;
    assert_eq!(books(&ledger, "slow").await, (0, 0, 2));
    overuse(&ledger, deny(bucket("fast", 10, 20, 1))).await;
    ledger.at_rebooked(granted, ms, ended).await;
    ledger.wait_for("r", 10).await;
    ledger.wait_for("fast", 10).await;
    assert_eq!((ledger.available("r").await, ledger.available("fast").await), (10, 10));
}

pub(crate) async fn overage_as_debt_is_only_booked(ledger: Harness) {
    let ms = ledger.differs.window_ms(1_000);
    let (granted, ended) = overuse(&ledger, rolling("r", 10, ms / 1_000)).await;
    assert_eq!(books(&ledger, "r").await, (0, 2, 2));
    overuse(&ledger, bucket("slow", 10, 1, LONG)).await;
    assert_eq!(books(&ledger, "slow").await, (0, 2, 2));
    overuse(&ledger, bucket("fast", 10, 20, 1)).await;
    ledger.at_rebooked(granted, ms, ended).await;
    ledger.wait_for("r", 10).await;
    ledger.wait_for("fast", 10).await;
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (10, 2));
    let (available, debt, overage) = books(&ledger, "fast").await;
    assert_eq!((available, debt), (10, u128::from(overage)));
    ledger.grant(&[("r", 10), ("fast", 10)]).await;
}

pub(crate) async fn a_rolling_limit_repays_its_debt_from_what_frees_first(ledger: Harness) {
    ledger.put(DefinitionFields { overage: Overage::Repay, ..rolling("r", 10, 2) }).await;
    let early = ledger.grant(&[("r", 4)]).await;
    let early_granted = ledger.now();
    ledger.pass(900).await;
    let late = ledger.grant(&[("r", 6)]).await;
    let late_granted = ledger.now();
    ledger.end(late, &[("r", 9)]).await;
    let late_ended = ledger.now();
    ledger.end(early, &[]).await;
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (0, 3));
    if ledger.differs.knows_waits {
        assert_eq!(ledger.refuse(&[("r", 1)]).await.retry_after_ms(), 1_100);
        assert_eq!(ledger.refuse(&[("r", 2)]).await.retry_after_ms(), 2_000, "3 of the 4 that free first are owed");
    }
    ledger.just_before(early_granted, 2_000).await;
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (0, 3));
    ledger.at(early_granted, 2_000).await;
    ledger.wait_for("r", 1).await;
    assert_eq!((ledger.available("r").await, ledger.usage("r").await.debt), (1, 0));
    ledger.at_rebooked(late_granted, 2_000, late_ended).await;
    ledger.wait_for("r", 10).await;
    assert_eq!(ledger.available("r").await, 10);
}

pub(crate) async fn a_bucket_repays_its_debt_before_its_level_rises(ledger: Harness) {
    let repay = |fields| DefinitionFields { overage: Overage::Repay, ..fields };
    overuse(&ledger, repay(bucket("slow", 10, 1, LONG))).await;
    assert_eq!(books(&ledger, "slow").await, (0, 2, 2));
    let (granted, _) = overuse(&ledger, repay(bucket("fast", 10, 5, 1))).await; // A unit takes 200 ms.
    if ledger.differs.knows_waits {
        assert_eq!(ledger.refuse(&[("fast", 3)]).await.retry_after_ms(), 1_000);
    }
    for ms in [0, 199, 200, 399, 400, 599, 600, 1_000] {
        ledger.reach(granted.after(Duration::from_millis(ms))).await;
        ledger.assert_refilled("fast", -2, granted).await;
    }
}

pub(crate) async fn what_another_lease_gives_back_pays_the_debt_first(ledger: Harness) {
    let repay = |fields| DefinitionFields { overage: Overage::Repay, ..fields };
    ledger.put_all([repay(rolling("r", 10, 60)), repay(bucket("b", 10, 1, LONG))]).await;
    for key in ["r", "b"] {
        let other = ledger.grant(&[(key, 5)]).await;
        let lease = ledger.grant(&[(key, 5)]).await;
        ledger.end(lease, &[(key, 9)]).await;
        assert_eq!((ledger.available(key).await, ledger.usage(key).await.debt), (0, 4), "{key}");
        ledger.end(other, &[(key, 0)]).await;
        assert_eq!((ledger.available(key).await, ledger.usage(key).await.debt), (1, 0), "{key}");
    }
}
