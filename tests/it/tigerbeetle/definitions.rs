//! Definitions and debts that several servers have a hand in.

use tollgate::backends::{Applied, Backend};
use tollgate::policy::{DefinitionFields, LimitState, Overage, Reason};

use super::sharing::group;
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, pattern, request, rolling, sleep_ms, until, within};

const ACTIVE: Applied = Applied::InForce(LimitState::Active);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_newer_than_what_it_deletes_everywhere() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("c", 1, 600), 5).await, ACTIVE);
        }
        other.grant(&[("c", 1)]).await;
        one.ledger.remove(&pattern("c"), 5).get().await.expect("the ledger answers");
        let refused = async || other.reserve(&request(&[("c", 1)])).await.expect_err("never granted anew").reason;
        while !matches!(refused().await, Reason::UnknownLimitKey(_)) {}
        assert_eq!(other.put(concurrency("c", 1, 600), 5).await, Applied::Superseded { version: 5 });
        assert_eq!(other.put(concurrency("c", 1, 600), 6).await, ACTIVE, "put again it begins anew");
        other.grant(&[("c", 1)]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_template_holds_for_the_instances_of_all_servers() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        assert_eq!(one.put(concurrency("t:{x}", 2, 600), 7).await, ACTIVE);
        assert_eq!(other.put(concurrency("t:{x}", 10, 600), 5).await, Applied::Superseded { version: 7 });
        other.grant(&[("t:a", 2)]).await;
        assert_eq!(other.reserve(&request(&[("t:a", 1)])).await.expect_err("2 of 2").reason, Reason::Denied);
        // A change is followed, also by instances that are in use.
        assert_eq!(one.put(concurrency("t:{x}", 3, 600), 8).await, ACTIVE);
        while other.reserve(&request(&[("t:a", 1)])).await.is_err() {}
        assert_eq!(other.usage("t:a").await.capacity, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_no_longer_repays_has_its_capacity_and_no_more() {
    let shared = Server::shared().await;
    within(120, async {
        let [one] = group(&shared.settings()).await;
        let with = |overage| DefinitionFields { overage, ..rolling("r", 10, 2) };
        one.put(with(Overage::Repay), 1).await;
        let lease = one.grant(&[("r", 5)]).await;
        one.complete(lease, &[("r", 25)]).await;
        one.put(with(Overage::Debt), 2).await;
        until(30, "what was used is free", async || 10 <= one.available("r").await).await;
        assert_eq!(one.available("r").await, 10);
        assert!(one.reserve(&request(&[("r", 10)])).await.is_ok());
        assert!(one.reserve(&request(&[("r", 1)])).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_idle_pays_a_debt_first() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, idle] = group(&shared.settings()).await;
        let repay = || DefinitionFields { overage: Overage::Repay, ..rolling("r", 10, 6) };
        for member in [&one, &idle] {
            member.put(repay(), 1).await;
            assert_eq!(member.available("r").await, 10, "both know that nothing is owed");
        }
        let lease = one.grant(&[("r", 10)]).await;
        sleep_ms(3_000).await;
        one.complete(lease, &[("r", 20)]).await;
        sleep_ms(4_500).await;
        // The first 10 have expired, and 10 are owed for the 10 beyond. Nobody looked meanwhile, which would pay.
        assert!(idle.reserve(&request(&[("r", 1)])).await.is_err());
    })
    .await;
}
