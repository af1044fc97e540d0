//! Definitions and debts that several servers have a hand in.

use tollgate::Tollgate;
use tollgate::backends::Applied;
use tollgate::config::{BackendSettings, Settings};
use tollgate::policy::{DefinitionFields, Mode, Overage, Reason};

use super::sharing::{ACTIVE, group};
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, pattern, request, rolling, sleep_ms, until, within};

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
async fn a_limit_of_its_own_goes_before_a_template_whatever_their_versions() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("t:{x}", 2, 600), 9).await, ACTIVE);
        }
        other.grant(&[("t:a", 1)]).await;
        assert_eq!(one.put(concurrency("t:a", 7, 600), 1).await, ACTIVE);
        assert_eq!(one.available("t:a").await, 6, "with what its keys hold");
        until(20, "the other server follows", async || other.usage("t:a").await.capacity == 7).await;
        assert_eq!(one.put(concurrency("t:{x}", 3, 600), 10).await, ACTIVE);
        for member in [&one, &other] {
            assert_eq!(member.usage("t:a").await.capacity, 7);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_of_another_kind_holds_for_all_servers_too() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("t:{x}", 2, 600), 5).await, ACTIVE);
        }
        one.remove("t:{x}", 5).await;
        assert_eq!(one.put(rolling("t:{x}", 3, 600), 6).await, ACTIVE);
        assert_eq!(other.put(concurrency("t:{x}", 2, 600), 5).await, Applied::Superseded { version: 6 });
        other.grant(&[("t:a", 1)]).await;
        for member in [&other, &one] {
            let shown = member.usage("t:a").await;
            assert_eq!((shown.definition.kind.as_str(), shown.available), ("rolling", 2));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_definition_says_what_becomes_of_what_does_not_fit() {
    let shared = Server::shared().await;
    within(120, async {
        let [newer, older] = group(&shared.settings()).await;
        let with = |key, mode, overage| DefinitionFields { mode, overage, ..concurrency(key, 1, 600) };
        for key in ["c", "t:{x}"] {
            assert_eq!(newer.put(with(key, Mode::Enforce, Overage::Repay), 8).await, ACTIVE);
            let superseded = Applied::Superseded { version: 8 };
            assert_eq!(older.put(with(key, Mode::Shadow, Overage::Deny), 5).await, superseded);
        }
        for key in ["c", "t:a"] {
            newer.grant(&[(key, 1)]).await;
            let refused = older.reserve(&request(&[(key, 1)])).await.expect_err("it is enforced everywhere");
            assert_eq!(refused.reason, Reason::Denied);
            let shown = older.usage(key).await.definition;
            assert_eq!((shown.mode, shown.overage), (Mode::Enforce, Overage::Repay), "{key}");
        }
        assert_eq!(older.put(with("c", Mode::Shadow, Overage::Deny), 9).await, ACTIVE);
        until(20, "the other server follows", async || newer.reserve(&request(&[("c", 1)])).await.is_ok()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_running_shows_that_another_one_changed_or_deleted_a_definition() {
    let shared = Server::shared().await;
    within(120, async {
        let [newer] = group(&shared.settings()).await;
        let backend = BackendSettings::TigerBeetle(shared.settings());
        let builder = Tollgate::builder().settings(Settings { backend, ..Settings::default() });
        let keys = ["changed", "changed:{x}", "deleted", "deleted:{x}"];
        let builder = keys.iter().fold(builder, |builder, key| builder.limit_fields(concurrency(key, 1, 600)));
        let older = builder.start().await.expect("a Tollgate");
        let entry = async |key: &str| older.limit(&pattern(key)).await.expect("it answers").expect("it is saved");
        for key in keys {
            let version = entry(key).await.version;
            assert_eq!(newer.put(concurrency(key, 1, 600), version).await, ACTIVE);
            assert_eq!(entry(key).await.superseded_by_version, None);
            let superseding = if key.starts_with("changed") {
                assert_eq!(newer.put(concurrency(key, 3, 600), 70).await, ACTIVE);
                70
            } else {
                newer.remove(key, version).await;
                version
            };
            until(20, key, async || entry(key).await.superseded_by_version == Some(superseding)).await;
        }
        for key in ["changed", "changed:{x}"] {
            older.delete_limit(&pattern(key)).await.expect("it answers").expect("it was there");
            let superseded = Applied::Superseded { version: 70 };
            assert_eq!(newer.put(concurrency(key, 3, 600), 70).await, superseded, "what it followed is deleted: {key}");
        }
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
