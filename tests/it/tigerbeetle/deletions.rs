//! Deletions that several servers hear of, one after the other, or do too.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate::backends::{Applied, Backend, Settled};
use tollgate::policy::{LimitState, Reason, Restraint};

use super::sharing::{ACTIVE, group};
use crate::support::tigerbeetle::Server;
use crate::support::{self, concurrency, request, rolling, until, within};

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
        late.grant(&[("t:a", 2), ("t:new", 1)]).await;
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
        until(20, "it still defines it", async || one.usage("t:k:a").await.capacity == 2).await;
        one.grant(&[("t:new:a", 2)]).await;
        assert_eq!(one.put(concurrency("t:{x}:{y}", 3, 600), 3).await, ACTIVE);
        assert_eq!(one.usage("t:k:a").await.capacity, 3, "a change of the next one is followed at once");
        assert_eq!(late.put(concurrency("t:{x}:a", 5, 600), 4).await, ACTIVE);
        // Nobody else uses the key.
        until(20, "it was put again", async || one.usage("t:k:a").await.capacity == 5).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_not_heard_of_a_deletion_takes_nothing_back_from_the_next_template() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            for (version, (template, capacity)) in
                (1..).zip([("t:{x}:{y}:{z}", 2), ("t:{x}:{y}:b", 8), ("t:{x}:a:b", 9)])
            {
                assert_eq!(member.put(concurrency(template, capacity, 600), version).await, ACTIVE);
            }
        }
        let keys = ["t:k:a:b", "t:l:a:b", "t:m:a:b"];
        for key in keys {
            one.grant(&[(key, 1)]).await;
        }
        one.remove("t:{x}:a:b", 3).await;
        one.remove("t:{x}:{y}:b", 2).await;
        for key in keys {
            one.grant(&[(key, 1)]).await;
            other.grant(&[(key, 1)]).await;
            assert_eq!(one.available(key).await, 0, "{key}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_template_that_is_deleted_takes_nothing_of_the_newer_one() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("t:{x}", 2, 600), 5).await, ACTIVE);
        }
        one.grant(&[("t:a", 1)]).await;
        assert_eq!(other.put(concurrency("t:{x}", 3, 600), 9).await, ACTIVE);
        one.remove("t:{x}", 5).await;
        assert_eq!(other.available("t:a").await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_before_the_ledger_has_it_comes_too_late() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for key in ["c", "t:{x}"] {
            one.remove(key, 5).await;
            assert_eq!(other.put(concurrency(key, 2, 600), 5).await, Applied::Superseded { version: 5 });
            assert_eq!(other.put(concurrency(key, 2, 600), 6).await, ACTIVE);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_a_limit_that_was_deleted_and_put_again_finds_it() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            assert_eq!(member.put(concurrency("c", 2, 600), 5).await, ACTIVE);
        }
        one.remove("c", 5).await;
        let refused = async || other.reserve(&request(&[("c", 3)])).await.expect_err("3 of 2, or of none").reason;
        let unknown = Reason::UnknownLimitKey(support::key("c"));
        until(20, "the deletion is known", async || refused().await == unknown).await;
        let told = join_all((0..500).map(|_| refused())).await;
        assert!(told.iter().all(|reason| *reason == unknown), "{told:?}");
        assert_eq!(one.put(concurrency("c", 4, 600), 6).await, ACTIVE);
        until(20, "the new one is known", async || other.reserve(&request(&[("c", 4)])).await.is_ok()).await;
        assert_eq!(other.put(concurrency("c", 2, 600), 5).await, Applied::Superseded { version: 6 });
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
