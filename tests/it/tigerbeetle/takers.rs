//! Grants that are given out more than once, given back, renewed and misused.

use std::time::Duration;

use tollgate::backends::Backend;
use tollgate::policy::{Complete, DefinitionFields, LeaseId, Mode, Reason, Renew, Reserve, Restraint};

use super::sharing::{Member, group};
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, key, request, rolling, sleep_ms, used, within};

async fn give_back(member: &Member, asked: &Reserve) {
    let nothing = Complete { lease_id: asked.lease_id, actuals: asked.amounts.zeroed() };
    member.ledger.give_back(&nothing).get().await.expect("the ledger answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_last_who_has_a_grant_gives_it_back() {
    let shared = Server::shared().await;
    within(120, async {
        let [one] = group(&shared.settings()).await;
        one.put(concurrency("c", 1, 600), 1).await;
        let asked = request(&[("c", 1)]);
        for _ in 0..3 {
            one.reserve(&asked).await.expect("the same grant");
        }
        for left in [0, 0, 1] {
            give_back(&one, &asked).await;
            assert_eq!(one.available("c").await, left);
        }
        assert_eq!(one.reserve(&asked).await.expect_err("it was given back").reason, Reason::LeaseFinished);
    })
    .await;
}

/// A grant of half of `r` that one server made and another one gave out again.
async fn granted_by_both(one: &Member, other: &Member) -> Reserve {
    for member in [one, other] {
        member.put(rolling("r", 100, 600), 1).await;
    }
    let asked = request(&[("r", 50)]);
    one.reserve(&asked).await.expect("there is room");
    other.reserve(&asked).await.expect("whose caller was told nothing asks elsewhere");
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_another_server_gave_out_again_is_not_given_back() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        let asked = granted_by_both(&one, &other).await;
        give_back(&one, &asked).await;
        assert_eq!(one.available("r").await, 50);
        other.complete(asked.lease_id, &[("r", 20)]).await;
        assert_eq!(one.available("r").await, 80, "what was used is charged");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_took_a_grant_over_does_not_give_it_back_for_the_one_that_made_it() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        let asked = granted_by_both(&one, &other).await;
        give_back(&other, &asked).await;
        assert_eq!(one.available("r").await, 50);
        one.complete(asked.lease_id, &[("r", 0)]).await;
        assert_eq!(one.available("r").await, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lease_is_granted_once_however_often_its_attempts_fail() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            member.put(rolling("a", 10, 600), 1).await;
            member.put(rolling("b", 10, 600), 2).await;
        }
        // Refused by what one of them withholds, then by what is taken, and granted in the end.
        let until = one.clock.now().after(Duration::from_secs(3));
        one.ledger.restrain(&key("a"), Restraint::Tighten { remaining: 3, until }).get().await.expect("it answers");
        let asked = request(&[("a", 4), ("b", 10)]);
        assert_eq!(one.reserve(&asked).await.expect_err("withheld").reason, Reason::Denied);
        let taken = other.grant(&[("b", 1)]).await;
        assert_eq!(other.reserve(&asked).await.expect_err("taken").reason, Reason::Denied);
        other.complete(taken, &[("b", 0)]).await;
        let lease = other.reserve(&asked).await.expect("there is room");
        tokio::time::sleep_until(one.clock.instant_of(until.after(Duration::from_millis(100)))).await;
        for member in [&one, &other] {
            assert_eq!(member.reserve(&asked).await, Ok(lease));
            let another = Reserve { lease_id: lease, ..request(&[("a", 4)]) };
            assert_eq!(member.reserve(&another).await.expect_err("other keys").reason.code(), "invalid_request");
        }
        assert_eq!((one.available("a").await, one.available("b").await), (6, 0));
        one.complete(lease, &[("a", 0), ("b", 0)]).await;
        assert_eq!((one.available("a").await, one.available("b").await), (10, 10), "nothing else is held");
    })
    .await;
}

/// Each refusal burns an id, and only so many are gone through at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_found_again_however_often_it_was_refused_before() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            member.put(concurrency("c", 1, 600), 1).await;
        }
        let (taken, asked) = (one.grant(&[("c", 1)]).await, request(&[("c", 1)]));
        for _ in 0..70 {
            assert_eq!(one.reserve(&asked).await.expect_err("taken").reason, Reason::Denied);
        }
        one.complete(taken, &[]).await;
        for _ in 0..3 {
            assert_eq!(one.reserve(&asked).await, Ok(asked.lease_id));
        }
        assert_eq!(other.reserve(&asked).await.expect_err("that many are too many").reason, Reason::Overloaded);
        assert_eq!(other.reserve(&asked).await, Ok(asked.lease_id), "it goes on from there");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_renewed_elsewhere_is_ended_here() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            member.put(concurrency("c", 1, 10), 1).await;
        }
        let lease = one.grant(&[("c", 1)]).await;
        sleep_ms(6_000).await;
        other.ledger.renew(&Renew { lease_id: lease, timeout: None }).get().await.expect("it is live");
        sleep_ms(6_000).await;
        assert_eq!(one.available("c").await, 0, "by what this server remembers it has expired");
        one.complete(lease, &[]).await;
        assert_eq!(one.available("c").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_renewed_whatever_became_of_its_definition_meanwhile() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        let shadow = |fields| DefinitionFields { mode: Mode::Shadow, ..fields };
        for member in [&one, &other] {
            member.put(concurrency("c", 5, 600), 1).await;
            member.put(shadow(concurrency("s", 1, 600)), 2).await;
        }
        one.grant(&[("s", 1)]).await;
        let lease = one.grant(&[("c", 1), ("s", 1)]).await; // The second is beyond what `s` has.
        other.put(concurrency("c", 6, 600), 3).await;
        let ends_at = async |member: &Member| {
            let view = member.ledger.lease(lease).get().await.expect("an answer").expect("it is there");
            view.holds.iter().map(|hold| hold.expires_at).min().expect("it holds something")
        };
        // Until this server has followed the change, and after it.
        for _ in 0..15 {
            let before = ends_at(&one).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            one.ledger.renew(&Renew { lease_id: lease, timeout: None }).get().await.expect("it is live");
            assert!(before < ends_at(&one).await, "each slot lives for its timeout from now");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_id_reaches_what_is_not_its_own() {
    let shared = Server::shared().await;
    within(120, async {
        let [one] = group(&shared.settings()).await;
        one.put(concurrency("c", 2, 600), 1).await;
        one.grant(&[("c", 1)]).await;
        // In a query of the cluster this number stands for no filter at all.
        let nil = LeaseId::from(0);
        assert_eq!(one.ledger.lease(nil).get().await, Ok(None));
        let all = Complete { lease_id: nil, actuals: used(&[]) };
        one.ledger.complete(&all).get().await.expect("there is no such lease");
        assert_eq!(one.available("c").await, 1);
        assert!(LeaseId::parse("00000000000000000000000000").is_err());
    })
    .await;
}
