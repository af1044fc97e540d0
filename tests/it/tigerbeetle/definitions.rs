//! Definitions and debts that several servers have a hand in.

use std::time::Duration;

use tollgate::Tollgate;
use tollgate::backends::{Applied, Backend, Settled};
use tollgate::config::{BackendSettings, Settings};
use tollgate::policy::{DefinitionFields, LimitState, Mode, Overage, Reason, Restraint};

use super::sharing::group;
use crate::support::tigerbeetle::Server;
use crate::support::{self, concurrency, pattern, request, rolling, sleep_ms, until, within};

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
        one.remove("c", 5).await;
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
async fn a_deleted_template_is_unknown_to_every_server_and_nothing_is_granted_twice() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other, late] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("t:{x}", 2, 600), 5).await, ACTIVE);
        }
        other.grant(&[("t:a", 1)]).await;
        one.grant(&[("t:a", 1)]).await;
        other.grant(&[("t:b", 2)]).await;
        one.remove("t:{x}", 5).await;
        // `b` is an instance that only the other server knows.
        for key in ["t:a", "t:b"] {
            let refused = async || other.reserve(&request(&[(key, 1)])).await.expect_err("never granted anew").reason;
            while !matches!(refused().await, Reason::UnknownLimitKey(_)) {}
            let peeked = other.ledger.peek(&request(&[(key, 1)]).amounts).get().await.expect_err("as a reservation");
            assert_eq!(peeked.reason, Reason::UnknownLimitKey(support::key(key)));
            assert_eq!(other.available(key).await, 0);
        }
        assert_eq!(other.available("t:new").await, 0);
        for member in [&other, &late] {
            let superseded = Applied::Superseded { version: 5 };
            assert_eq!(member.put(concurrency("t:{x}", 2, 600), 5).await, superseded, "a restart knows too");
            let refused = member.reserve(&request(&[("t:new", 1)])).await.expect_err("there is no such limit");
            assert_eq!(refused.reason, Reason::UnknownLimitKey(support::key("t:new")));
        }
        assert_eq!(late.put(concurrency("t:{x}", 2, 600), 6).await, ACTIVE, "put again it begins anew, for all");
        late.grant(&[("t:a", 2)]).await;
        until(20, "the other server follows", async || other.reserve(&request(&[("t:c", 1)])).await.is_ok()).await;
        assert_eq!(other.reserve(&request(&[("t:a", 1)])).await.expect_err("2 of 2").reason, Reason::Denied);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_deleted_is_left_in_peace_and_its_leases_end() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for (key, at) in [("c", "c"), ("t:{x}", "t:a")] {
            for member in [&one, &other] {
                assert_eq!(member.put(concurrency(key, 9, 600), 5).await, ACTIVE);
            }
            let lease_id = other.grant(&[(at, 1)]).await;
            one.remove(key, 5).await;
            let reason = async || other.reserve(&request(&[(at, 10)])).await.expect_err("more than there is").reason;
            until(20, key, async || matches!(reason().await, Reason::UnknownLimitKey(_))).await;
            let settled = other.ledger.settle(&support::key(at)).get().await;
            assert_eq!(settled, Ok(Settled::Unknown), "else it would be asked for again and again");
            other.complete(lease_id, &[(at, 2)]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_definition_does_not_come_back_when_a_template_takes_over() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("t:{x}", 2, 600), 1).await, ACTIVE);
            assert_eq!(member.put(concurrency("t:a", 7, 600), 2).await, ACTIVE);
        }
        one.remove("t:a", 2).await;
        one.grant(&[("t:a", 1)]).await;
        let superseded = Applied::Superseded { version: 2 };
        assert_eq!(other.put(concurrency("t:a", 7, 600), 2).await, superseded);
        let shown = other.usage("t:a").await;
        assert_eq!((shown.capacity, shown.available), (2, 1), "it is the template's at both");
        assert_eq!(one.usage("t:a").await.capacity, 2);
        other.remove("t:a", 2).await;
        assert_eq!(one.available("t:a").await, 1, "a deletion at the other server too takes nothing of the template's");
        one.remove("t:{x}", 1).await;
        assert_eq!(other.put(concurrency("t:a", 7, 600), 2).await, superseded, "nor when the template goes too");
        assert_eq!(other.put(concurrency("t:a", 7, 600), 3).await, ACTIVE, "put again it is in force");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_is_done_again_takes_nothing_newer() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other, late] = group(&shared.settings()).await;
        for (key, at) in [("c", "c"), ("t:{x}", "t:a")] {
            assert_eq!(one.put(concurrency(key, 2, 600), 5).await, ACTIVE);
            one.grant(&[(at, 1)]).await;
            one.remove(key, 5).await;
            assert_eq!(other.put(concurrency(key, 2, 600), 6).await, ACTIVE);
            other.grant(&[(at, 1)]).await;
            for member in [&one, &late] {
                member.remove(key, 5).await;
                assert_eq!(other.put(concurrency(key, 2, 600), 6).await, ACTIVE, "{key}");
                assert_eq!(other.available(at).await, 1, "{key}");
            }
        }
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
async fn what_a_deleted_template_left_behind_follows_the_next_one() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, late, other] = group(&shared.settings()).await;
        for (member, is_both) in [(&one, true), (&late, true), (&other, false)] {
            assert_eq!(member.put(concurrency("t:{x}:{y}", 2, 600), 1).await, ACTIVE);
            if is_both {
                assert_eq!(member.put(concurrency("t:{x}:a", 9, 600), 2).await, ACTIVE);
            }
        }
        one.grant(&[("t:k:a", 1)]).await;
        assert_eq!(other.usage("t:k:a").await.capacity, 9, "it is there, though not known here");
        // This one never used the instance.
        late.remove("t:{x}:a", 2).await;
        until(20, "it follows what it does not define", async || other.usage("t:k:a").await.capacity == 2).await;
        assert_eq!(late.usage("t:k:a").await.capacity, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_limit_that_is_being_lowered_is_unknown_and_takes_no_signals() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(rolling("r", 9, 600), 5).await, ACTIVE);
        }
        one.grant(&[("r", 9)]).await;
        let lowered = one.put(rolling("r", 4, 600), 6).await;
        assert!(matches!(lowered, Applied::InForce(LimitState::Decreasing { .. })), "{lowered:?}");
        other.remove("r", 6).await;
        let refused = one.reserve(&request(&[("r", 1)])).await.expect_err("there is no such limit");
        assert_eq!(refused.reason, Reason::UnknownLimitKey(support::key("r")));
        let restraint = Restraint::Tighten { remaining: 1, until: one.clock.now().after(Duration::from_secs(9)) };
        assert_eq!(one.ledger.restrain(&support::key("r"), restraint).get().await, Ok(()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_template_go_its_instances_and_nothing_that_is_newer() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        assert_eq!(one.put(concurrency("t:{x}", 2, 600), 5).await, ACTIVE);
        one.grant(&[("t:a", 1)]).await;
        assert_eq!(other.put(concurrency("t:a", 7, 600), 9).await, ACTIVE, "it is a limit of its own now");
        one.remove("t:{x}", 5).await;
        assert_eq!(other.put(concurrency("t:a", 7, 600), 9).await, ACTIVE, "it still is");
        assert_eq!(other.available("t:a").await, 6);
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
