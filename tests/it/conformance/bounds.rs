//! Bounds of the ledger in memory: a full table refuses with `overloaded`, and recovers.

use tollgate::config::MemorySettings;
use tollgate::policy::Reason;

use super::harness::memory_with;
use crate::support::{concurrency, key, request, rolling, within};

async fn bounded(max_instances: usize, max_leases: usize) -> super::harness::Harness {
    memory_with(MemorySettings { max_instances, max_leases }).await
}

#[tokio::test(start_paused = true)]
async fn a_template_has_a_bounded_number_of_instances_and_recovers() {
    within(1_000_000, async {
        let ledger = bounded(2, 1_000).await;
        ledger.put_all([concurrency("t:{x}", 10, 60), concurrency("other:{x}", 10, 60)]).await;
        let lease = ledger.grant(&[("t:a", 1)]).await;
        ledger.grant(&[("t:b", 1)]).await;
        let refusal = ledger.refuse(&[("t:c", 1)]).await;
        assert_eq!(refusal.reason, Reason::Overloaded);
        assert!(1 <= refusal.retry_after_ms());
        assert_eq!(ledger.peek(&[("t:c", 1)]).await.expect_err("refused").reason, Reason::Overloaded);
        ledger.grant(&[("t:a", 1), ("other:a", 1)]).await;
        assert_eq!(ledger.code(&[("t:c", 1), ("unknown", 1)]).await, "unknown_limit_key:unknown");
        assert_eq!(ledger.code(&[("other:b", 1), ("t:c", 1)]).await, "overloaded");
        assert_eq!(ledger.code(&[("t:c", 1)]).await, "overloaded");
        ledger.end(lease, &[]).await;
        assert_eq!(ledger.code(&[("t:c", 1)]).await, "overloaded", "t:a is still in use by another lease");
        ledger.pass(60_000).await;
        ledger.sweep().await;
        ledger.grant(&[("t:c", 1)]).await;
        ledger.grant(&[("t:d", 1)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_template_makes_no_instance_for_a_restraint() {
    within(1_000_000, async {
        let ledger = bounded(2, 1_000).await;
        ledger.put(rolling("t:{x}", 10, 60)).await;
        ledger.pause("t:1", 5_000).await;
        ledger.tighten("t:2", 0, 5_000).await;
        ledger.pause("t:3", 5_000).await;
        assert_eq!(ledger.totals().limits, 2, "an instance under a restraint makes no room for another");
        assert_eq!(ledger.code(&[("t:3", 1)]).await, "overloaded");
        ledger.pass(5_000).await;
        ledger.grant(&[("t:3", 1)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_template_makes_room_by_dropping_an_idle_instance() {
    within(1_000_000, async {
        let ledger = bounded(3, 1_000).await;
        ledger.put(concurrency("t:{x}", 10, 60)).await;
        ledger.grant(&[("t:hot", 10)]).await;
        for n in 0..1_000 {
            let lease = ledger.grant(&[(&format!("t:{n}"), 1)]).await;
            ledger.end(lease, &[]).await;
            assert!(ledger.totals().limits <= 3);
        }
        assert_eq!(ledger.available("t:hot").await, 0, "an instance in use is not reset by a flood of others");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_template_gives_up_accounting_debt_rather_than_service() {
    within(1_000_000, async {
        let ledger = bounded(1, 1_000).await;
        ledger.put(rolling("t:{x}", 10, 60)).await;
        let lease = ledger.grant(&[("t:a", 5)]).await;
        ledger.end(lease, &[("t:a", 12)]).await;
        assert_eq!(ledger.code(&[("t:b", 1)]).await, "overloaded");
        ledger.pass(60_000).await;
        ledger.grant(&[("t:b", 1)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_never_makes_room_with_an_instance_that_it_needs_itself() {
    within(1_000_000, async {
        for max_instances in 1..=3 {
            let ledger = bounded(max_instances, 1_000).await;
            ledger.put(concurrency("t:{x}", 10, 60)).await;
            let wanted = [("t:a", 6), ("t:b", 6), ("t:c", 6)];
            if max_instances < wanted.len() {
                assert_eq!(ledger.peek(&wanted).await.expect_err("too many").reason, Reason::Overloaded);
                assert_eq!(ledger.code(&wanted).await, "overloaded", "{max_instances} cannot hold three");
                continue;
            }
            let lease = ledger.grant(&wanted).await;
            for (key, amount) in wanted {
                assert_eq!(ledger.available(key).await, 10 - amount);
            }
            ledger.end(lease, &[]).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn leases_have_a_bound_and_finished_ones_make_room() {
    within(1_000_000, async {
        let ledger = bounded(10, 2).await;
        ledger.put(concurrency("c", 100, 60)).await;
        let leases = [ledger.grant(&[("c", 1)]).await, ledger.grant(&[("c", 1)]).await];
        let refused = request(&[("c", 1)]);
        assert_eq!(ledger.send(&refused).await.expect_err("full").reason, Reason::Overloaded);
        assert_eq!((ledger.available("c").await, ledger.is_live(refused.lease_id).await), (98, false));
        ledger.end(leases[0], &[]).await;
        assert_eq!(ledger.send(&refused).await, Ok(refused.lease_id), "a finished lease is forgotten before its time");
        assert!(ledger.is_live(leases[1]).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn expired_leases_make_room_once_they_were_swept() {
    within(1_000_000, async {
        let ledger = bounded(10, 2).await;
        ledger.put(concurrency("c", 100, 60)).await;
        for _ in 0..2 {
            ledger.grant(&[("c", 1)]).await;
        }
        ledger.pass(60_000).await;
        ledger.sweep().await;
        ledger.grant(&[("c", 1)]).await;
        assert_eq!(ledger.backend.usage(&key("c")).get().await.expect("answers").expect("known").available, 99);
    })
    .await;
}
