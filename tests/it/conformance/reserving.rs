//! Reserving: all or nothing, once per lease, at any amount.

use tollgate::policy::{LeaseId, Reason, Reserve};

use super::harness::Harness;
use crate::support::{LONG, concurrency, one_of_each_kind, request, rolling};

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

fn with_id(lease_id: LeaseId, requirements: &[(&str, u64)]) -> Reserve {
    Reserve { lease_id, ..request(requirements) }
}

pub(crate) async fn a_grant_takes_its_amount_of_every_key(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    ledger.grant(&[("rolling", 1), ("concurrency", 2), ("token_bucket", 3)]).await;
    assert_eq!(ledger.available("rolling").await, 9);
    assert_eq!(ledger.available("concurrency").await, 8, "the amount is held, not 1");
    assert_eq!(ledger.available("token_bucket").await, 7);
}

pub(crate) async fn a_denied_request_changes_no_balance(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    ledger.put(concurrency("full", 1, 1_000)).await;
    ledger.grant(&[("full", 1)]).await;
    for place in 0..=KINDS.len() {
        let mut requirements: Vec<_> = KINDS.iter().map(|key| (*key, 5)).collect();
        requirements.insert(place, ("full", 1));
        let request = request(&requirements);
        assert!(ledger.send(&request).await.is_err());
        for key in KINDS {
            assert_eq!(ledger.available(key).await, 10, "{key}, with the full one at {place}");
        }
        assert!(!ledger.is_live(request.lease_id).await);
    }
    assert_eq!((ledger.totals().granted, ledger.totals().live_leases), (1, 1));
}

pub(crate) async fn a_denied_attempt_is_not_remembered(ledger: Harness) {
    ledger.put(concurrency("c", 1, 1_000)).await;
    let holder = ledger.grant(&[("c", 1)]).await;
    let request = request(&[("c", 1)]);
    assert!(ledger.send(&request).await.is_err());
    ledger.end(holder, &[]).await;
    assert_eq!(ledger.send(&request).await, Ok(request.lease_id));
}

pub(crate) async fn a_key_named_twice_is_added_up(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    for key in KINDS {
        assert_eq!(ledger.code(&[(key, 6), (key, 5)]).await, format!("never_fits:{key}"));
        ledger.grant(&[(key, 3), (key, 4)]).await;
        assert_eq!(ledger.available(key).await, 3, "{key}");
        let refusal = ledger.refuse(&[(key, 2), (key, 2)]).await;
        assert_eq!((refusal.reason, refusal.denied.len()), (Reason::Denied, 1));
        ledger.grant(&[(key, 1), (key, 1), (key, 1)]).await;
    }
}

pub(crate) async fn the_largest_numbers_neither_overflow_nor_pass(ledger: Harness) {
    ledger.put_all(one_of_each_kind(u64::MAX, LONG)).await;
    for key in KINDS {
        assert_eq!(ledger.code(&[(key, u64::MAX); 32]).await, format!("never_fits:{key}"));
        assert_eq!(ledger.code(&[(key, u64::MAX), (key, 1)]).await, format!("never_fits:{key}"));
        let lease = ledger.grant(&[(key, u64::MAX)]).await;
        assert_eq!((ledger.available(key).await, ledger.code(&[(key, 1)]).await), (0, String::new()));
        ledger.end(lease, &[(key, 0)]).await;
        assert_eq!(ledger.available(key).await, u64::MAX, "{key}");
        let lease = ledger.grant(&[(key, 1)]).await;
        ledger.end(lease, &[(key, u64::MAX); 32]).await;
        let wanted = if key == "concurrency" { u64::MAX } else { 0 };
        assert_eq!(ledger.available(key).await, wanted, "{key} after an actual of 32 × 2^64");
    }
}

pub(crate) async fn what_is_above_the_capacity_never_fits(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    for key in KINDS {
        let refusal = ledger.refuse(&[(key, 11)]).await;
        assert_eq!((refusal.reason.code(), refusal.retry_after_ms()), (format!("never_fits:{key}"), 0));
        ledger.grant(&[(key, 10)]).await;
        assert_eq!(ledger.available(key).await, 0, "the whole capacity can be reserved");
    }
}

pub(crate) async fn the_same_request_again_is_the_same_grant_counted_once(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    let request = request(&[("rolling", 4), ("concurrency", 3), ("token_bucket", 2)]);
    let first = ledger.backend.reserve(&request).get().await.expect("granted");
    ledger.pass(1_000).await;
    for again in [
        request.clone(),
        with_id(request.lease_id, &[("token_bucket", 2), ("rolling", 4), ("concurrency", 3)]),
        with_id(request.lease_id, &[("rolling", 1), ("rolling", 3), ("concurrency", 3), ("token_bucket", 2)]),
    ] {
        assert_eq!(ledger.backend.reserve(&again).get().await.expect("granted"), first);
    }
    assert_eq!((ledger.available("rolling").await, ledger.available("concurrency").await), (6, 7));
    assert_eq!(ledger.available("token_bucket").await, 8);
    assert_eq!(ledger.totals().granted, 1);
}

pub(crate) async fn the_same_request_again_is_granted_though_nothing_is_free(ledger: Harness) {
    ledger.put_all([concurrency("c", 1, 1_000), rolling("r", 1, 1_000)]).await;
    let request = request(&[("c", 1), ("r", 1)]);
    assert!(ledger.send(&request).await.is_ok());
    assert_eq!(ledger.send(&request).await, Ok(request.lease_id));
    ledger.remove("r").await;
    assert_eq!(ledger.send(&request).await, Ok(request.lease_id), "the lease's own answer comes before the key's");
}

pub(crate) async fn a_lease_id_in_use_for_something_else_is_an_invalid_request(ledger: Harness) {
    ledger.put_all([concurrency("a", 10, 1_000), concurrency("b", 10, 1_000)]).await;
    let lease = ledger.grant(&[("a", 2)]).await;
    let others: [&[(&str, u64)]; 6] =
        [&[("a", 1)], &[("a", 3)], &[("b", 2)], &[("a", 2), ("b", 1)], &[("unknown", 2)], &[("a", 11)]];
    for other in others {
        let refusal = ledger.send(&with_id(lease, other)).await.expect_err("another request");
        assert_eq!((refusal.reason.code().as_str(), refusal.retry_after_ms()), ("invalid_request", 0), "{other:?}");
    }
    assert_eq!((ledger.available("a").await, ledger.available("b").await), (8, 10));
}

pub(crate) async fn a_completed_lease_is_finished(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    for key in KINDS {
        let request = request(&[(key, 1)]);
        assert!(ledger.send(&request).await.is_ok());
        ledger.end(request.lease_id, &[(key, 0)]).await;
        for again in [request.clone(), with_id(request.lease_id, &[(key, 2)])] {
            let refusal = ledger.send(&again).await.expect_err("it is over");
            assert_eq!((refusal.reason, refusal.retry_after.as_millis()), (Reason::LeaseFinished, 0), "{key}");
        }
        assert_eq!(ledger.available(key).await, 10, "{key}");
    }
}

pub(crate) async fn an_expired_lease_is_finished(ledger: Harness) {
    ledger.put_all([concurrency("c", 10, 1), rolling("r", 10, 2)]).await;
    let request = request(&[("c", 1), ("r", 1)]);
    assert!(ledger.send(&request).await.is_ok());
    let granted = ledger.now();
    ledger.just_before(granted, 2_000).await;
    assert_eq!(ledger.send(&request).await, Ok(request.lease_id), "it lives until its last hold expires");
    ledger.at(granted, 2_000).await;
    ledger.wait_for("r", 10).await;
    for _ in 0..2 {
        assert_eq!(ledger.send(&request).await.expect_err("it is over").reason, Reason::LeaseFinished);
        ledger.sweep().await;
    }
    assert_eq!((ledger.available("c").await, ledger.available("r").await), (10, 10));
}
