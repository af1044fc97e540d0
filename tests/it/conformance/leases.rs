//! Leases: what they hold, how long they live, and how they are renewed.

use tollgate::backends::LeaseView;
use tollgate::policy::{Complete, Labels, LeaseError, LeaseId, Reserve};

use super::harness::Harness;
use crate::support::{LONG, bucket, concurrency, label, request, rolling, used};

async fn view(ledger: &Harness, lease_id: LeaseId) -> Option<LeaseView> {
    ledger.backend.lease(lease_id).get().await.expect("the ledger answers")
}

pub(crate) async fn a_hold_that_is_never_completed_frees_at_its_timeout(ledger: Harness) {
    ledger.put(concurrency("c", 10, 1)).await;
    let lease = ledger.grant(&[("c", 10)]).await;
    let granted = ledger.now();
    ledger.just_before(granted, 1_000).await;
    assert!(ledger.reserve(&[("c", 1)]).await.is_err() && ledger.is_live(lease).await);
    ledger.at(granted, 1_000).await;
    ledger.wait_for("c", 10).await;
    assert_eq!((ledger.available("c").await, ledger.is_live(lease).await), (10, false));
    ledger.grant(&[("c", 10)]).await;
}

pub(crate) async fn a_slot_that_expired_is_not_released_a_second_time(ledger: Harness) {
    ledger.put_all([concurrency("c", 1, 1), rolling("r", 10, 60)]).await;
    let slow = ledger.grant(&[("c", 1), ("r", 5)]).await;
    ledger.at(ledger.now(), 1_000).await;
    ledger.wait_for("c", 1).await;
    ledger.grant(&[("c", 1)]).await;
    ledger.end(slow, &[("r", 2)]).await;
    assert_eq!(ledger.available("c").await, 0, "the slot belongs to another lease by now");
    assert_eq!(ledger.available("r").await, 8, "what still lives is completed all the same");
}

pub(crate) async fn renewing_extends_concurrency_from_now(ledger: Harness) {
    ledger.put_all([concurrency("c", 1, 2), rolling("r", 1, 1)]).await;
    let lease = ledger.grant(&[("c", 1), ("r", 1)]).await;
    let mut renewed = ledger.now();
    for _ in 0..2 {
        ledger.pass(1_200).await;
        assert_eq!(ledger.renew(lease, None).await, Ok(()));
        renewed = ledger.now();
        assert_eq!(ledger.available("c").await, 0);
    }
    assert_eq!(ledger.available("r").await, 1, "a rolling window is not extended");
    ledger.just_before(renewed, 2_000).await;
    assert_eq!(ledger.available("c").await, 0);
    ledger.at(renewed, 2_000).await;
    ledger.wait_for("c", 1).await;
    assert_eq!((ledger.available("c").await, ledger.is_live(lease).await), (1, false));
}

pub(crate) async fn renewing_never_shortens_and_never_passes_the_limits_own_timeout(ledger: Harness) {
    ledger.put(concurrency("c", 1, 4)).await;
    let lease = ledger.grant(&[("c", 1)]).await;
    let granted = ledger.now();
    ledger.pass(500).await;
    assert_eq!(ledger.renew(lease, Some(1)).await, Ok(()), "a second from now is earlier than it ends anyway");
    ledger.just_before_by(3, granted, 4_000).await;
    assert_eq!(ledger.renew(lease, Some(3)).await, Ok(()));
    ledger.just_before_by(3, ledger.now(), 3_000).await;
    assert_eq!(ledger.renew(lease, Some(1_000_000)).await, Ok(()), "it was renewed: 4 s have passed");
    let renewed = ledger.now();
    ledger.just_before(renewed, 4_000).await;
    assert_eq!(ledger.available("c").await, 0);
    ledger.at(renewed, 4_000).await;
    ledger.wait_for("c", 1).await;
    assert_eq!(ledger.available("c").await, 1);
}

pub(crate) async fn a_renewed_lease_is_released_by_its_completion(ledger: Harness) {
    ledger.put(concurrency("c", 10, 30)).await;
    let (lease, other) = (ledger.grant(&[("c", 4)]).await, ledger.grant(&[("c", 5)]).await);
    ledger.pass(100).await;
    assert_eq!(ledger.renew(lease, None).await, Ok(()));
    assert_eq!(ledger.available("c").await, 1, "renewing takes nothing");
    ledger.end(other, &[]).await;
    ledger.end(lease, &[]).await;
    assert_eq!(ledger.available("c").await, 10);
}

pub(crate) async fn what_is_over_cannot_be_renewed(ledger: Harness) {
    ledger.put_all([concurrency("c", 1, 1), concurrency("long", 10, 2)]).await;
    assert_eq!(ledger.renew(LeaseId::generate(), None).await, Err(LeaseError::Finished));
    let completed = ledger.grant(&[("c", 1)]).await;
    ledger.end(completed, &[]).await;
    assert_eq!(ledger.renew(completed, None).await, Err(LeaseError::Finished));
    let expired = ledger.grant(&[("c", 1)]).await;
    ledger.at(ledger.now(), 1_000).await;
    ledger.wait_for("c", 1).await;
    assert_eq!(ledger.renew(expired, None).await, Err(LeaseError::Finished));
    let halved = ledger.grant(&[("c", 1), ("long", 1)]).await;
    let granted = ledger.now();
    ledger.at(granted, 1_000).await;
    ledger.wait_for("c", 1).await;
    assert_eq!(ledger.renew(halved, None).await, Err(LeaseError::Finished), "it has lost one of its slots");
    ledger.at(granted, 2_000).await;
    assert_eq!(ledger.available("long").await, 10, "and so its other slot was not renewed either");
}

pub(crate) async fn a_lease_shows_what_it_holds_and_for_whom(ledger: Harness) {
    ledger.put_all([concurrency("c", 10, 30), rolling("r", 10, 60)]).await;
    let labels = Labels { job_id: Some(label("job-7")), tenant: Some(label("acme")) };
    let request = Reserve { labels: labels.clone(), ..request(&[("r", 2), ("c", 3)]) };
    let grant = ledger.backend.reserve(&request).get().await.expect("granted");
    let granted = ledger.now();
    let live = view(&ledger, grant.lease_id).await.expect("a known lease");
    assert_eq!((live.lease_id, live.reserved_at_unix_ms), (grant.lease_id, grant.reserved_at_unix_ms));
    assert_eq!((live.job_id, live.tenant, live.is_live), (labels.job_id, labels.tenant, true));
    let mut held: Vec<_> = live.holds.iter().map(|hold| (hold.key.as_str(), hold.amount, hold.expires_at)).collect();
    held.sort_unstable();
    let [("c", 3, slot_ends), ("r", 2, use_ends)] = held[..] else { panic!("it holds {held:?}") };
    ledger.assert_ends_at(slot_ends, granted, 30_000);
    ledger.assert_ends_at(use_ends, granted, 60_000);
    ledger.end(grant.lease_id, &[]).await;
    let over = view(&ledger, grant.lease_id).await.expect("it is remembered for a while");
    assert!(!over.is_live && over.holds.is_empty());
    assert_eq!(view(&ledger, LeaseId::generate()).await, None);
}

pub(crate) async fn a_lease_over_a_deleted_limit_completes(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 60), bucket("b", 10, 1, LONG)]).await;
    let lease = ledger.grant(&[("r", 5), ("c", 5), ("b", 5)]).await;
    for key in ["r", "c", "b"] {
        ledger.remove(key).await;
        assert_eq!(ledger.code(&[(key, 1)]).await, format!("unknown_limit_key:{key}"));
    }
    assert!(ledger.is_live(lease).await);
    let completion = Complete { lease_id: lease, actuals: used(&[("r", 1), ("c", 1), ("b", 9)]) };
    assert_eq!(ledger.backend.complete(&completion).get().await, Ok(()));
    assert_eq!((ledger.totals().limits, ledger.totals().live_leases), (0, 0));
}

pub(crate) async fn a_limit_defined_anew_knows_nothing_of_the_deleted_one(ledger: Harness) {
    ledger.put(concurrency("x", 10, 60)).await;
    let lease = ledger.grant(&[("x", 5)]).await;
    ledger.remove("x").await;
    ledger.put(rolling("x", 7, 60)).await;
    assert_eq!(ledger.available("x").await, 7);
    let newer = ledger.grant(&[("x", 7)]).await;
    ledger.end(lease, &[("x", 0)]).await;
    assert_eq!(ledger.available("x").await, 0, "the old lease frees nothing of the new limit");
    ledger.end(newer, &[("x", 0)]).await;
    assert_eq!(ledger.available("x").await, 7);
}

pub(crate) async fn leases_that_are_over_are_forgotten_in_the_end(ledger: Harness) {
    ledger.put_all([concurrency("c", 100, 1), rolling("r", 100, 1)]).await;
    let mut leases = Vec::new();
    for completed in [true, false] {
        let lease = ledger.grant(&[("c", 1), ("r", 1)]).await;
        if completed {
            ledger.end(lease, &[]).await;
        }
        leases.push(lease);
    }
    let granted = ledger.now();
    ledger.sweep().await;
    assert!(view(&ledger, leases[0]).await.is_some(), "a retry would still be told that it is finished");
    ledger.at(granted, 1_000).await;
    if ledger.differs.forgets_leases {
        ledger.pass(60_000).await;
    }
    ledger.sweep().await;
    for lease in leases {
        let view = view(&ledger, lease).await;
        assert_eq!(view.is_none(), ledger.differs.forgets_leases, "{view:?}");
        assert!(view.is_none_or(|view| !view.is_live && view.holds.is_empty()));
    }
    let totals = ledger.totals();
    assert_eq!((totals.live_leases, totals.granted, totals.completed, totals.expired), (0, 2, 1, 1));
}
