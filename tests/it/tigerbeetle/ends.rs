//! Leases that end while the cluster is away.

use std::time::Duration;

use tollgate::backends::Backend;
use tollgate::config::TigerBeetleSettings;
use tollgate::policy::{Complete, DefinitionFields, Reserve, UnavailableMode};

use super::sharing::{Member, group};
use crate::support::tigerbeetle::Server;
use crate::support::{bucket, concurrency, key, request, rolling, sleep_ms, until, used, within};

const IN_FLIGHT_MAX: usize = 16;

/// With a deadline that a server keeps that has just begun; each call that it does not answer takes as long.
fn settings(server: &Server) -> TigerBeetleSettings {
    let deadline = Duration::from_secs(1);
    TigerBeetleSettings { deadline, in_flight_max: IN_FLIGHT_MAX, ..server.settings() }
}

/// Stops a server, and lets a member of its group find out that nobody answers.
async fn stop(server: &Server, member: &Member) {
    server.stop().await;
    member.ledger.usage(&key("r")).get().await.expect_err("no answer");
}

async fn until_available(member: &Member, text: &str, wanted: u64) {
    let usage = async || member.ledger.usage(&key(text)).get().await;
    let is_so = async || matches!(usage().await, Ok(Some(usage)) if usage.available == wanted);
    until(60, "it is available", is_so).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_completed_and_given_back_while_the_cluster_is_away_ends_when_it_is_back() {
    let server = Server::start().await;
    within(120, async {
        let [one] = group(&settings(&server)).await;
        one.put(rolling("r", 100, 3_600), 1).await;
        let asked = request(&[("r", 50)]);
        let lease = one.reserve(&asked).await.expect("there is room");
        stop(&server, &one).await;
        let completed = Complete { lease_id: lease, actuals: used(&[("r", 20)]) };
        let nothing = Complete { lease_id: lease, actuals: used(&[("r", 0)]) };
        one.ledger.complete(&completed).get().await.expect_err("it waits");
        one.ledger.give_back(&nothing).get().await.expect_err("the other one waits already");
        server.cont().await;
        until_available(&one, "r", 80).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_that_the_cluster_never_saw_do_not_keep_those_from_ending_that_it_granted() {
    let server = Server::start().await;
    within(120, async {
        let [one] = group(&settings(&server)).await;
        one.put(rolling("r", 100, 3_600), 1).await;
        one.put(concurrency("slots", 1, 3_600), 2).await;
        one.put(DefinitionFields { when_unavailable: UnavailableMode::Allow, ..rolling("open", 100, 3_600) }, 3).await;
        let lease = one.grant(&[("slots", 1)]).await;
        stop(&server, &one).await;
        for _ in 0..2 * IN_FLIGHT_MAX {
            let allowed = one.grant(&[("open", 1)]).await;
            one.complete(allowed, &[]).await;
        }
        let over = Complete { lease_id: lease, actuals: used(&[]) };
        one.ledger.complete(&over).get().await.expect_err("it waits");
        server.cont().await;
        until_available(&one, "slots", 1).await;
        until_available(&one, "open", 100).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_its_policy_granted_once_more_ends_in_the_ledger_too() {
    let server = Server::start().await;
    within(120, async {
        let [one] = group(&settings(&server)).await;
        one.put(rolling("r", 100, 3_600), 1).await;
        one.put(DefinitionFields { when_unavailable: UnavailableMode::Allow, ..rolling("open", 100, 3_600) }, 2).await;
        let asked = request(&[("open", 50)]);
        let lease = one.reserve(&asked).await.expect("there is room");
        stop(&server, &one).await;
        assert_eq!(one.reserve(&asked).await, Ok(lease), "whose caller did not get the answer asks again");
        one.complete(lease, &[("open", 20)]).await;
        server.cont().await;
        until_available(&one, "open", 80).await;
    })
    .await;
}

/// A reservation that waited in a client until that was replaced. Another server is asked for it, and grants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_reached_the_cluster_is_not_given_back_for_the_server_that_granted_it_later() {
    let server = Server::start().await;
    within(120, async {
        let [one] = group(&settings(&server)).await;
        let patient = TigerBeetleSettings { deadline: Duration::from_secs(60), ..server.settings() };
        let [other] = group(&patient).await;
        for member in [&one, &other] {
            member.put(concurrency("c", 1, 3_600), 1).await;
            member.put(bucket("b", 10, 1, 3_600), 2).await;
        }
        let (slot, tokens) = (request(&[("c", 1)]), request(&[("b", 10)]));
        server.stop().await;
        // The first one is on its way; the other two wait for its answer.
        tokio::join!(one.ledger.usage(&key("c")).get(), one.reserve(&slot), one.reserve(&tokens)).0.expect_err("none");
        until(60, "its client is replaced", async || one.rebuilt() != 0).await;
        // Its client may be replaced just then, too: then it asks again.
        let granted = async |asked: &Reserve| {
            until(30, "it is granted", async || other.reserve(asked).await == Ok(asked.lease_id)).await;
        };
        tokio::join!(granted(&slot), granted(&tokens), server.cont());
        until_available(&one, "c", 0).await;
        sleep_ms(1_500).await; // Longer than a grant is kept for whom it was made.
        one.ledger.close().await;
        assert_eq!((other.available("c").await, other.available("b").await), (0, 0), "their calls run");
    })
    .await;
}
