//! What a server answers while the cluster is away, and how it goes on.

use std::sync::Arc;

use tollgate::backends::tigerbeetle::TigerBeetleLedger;
use tollgate::backends::{Backend, Health, Observer, Registered};
use tollgate::clock::Clock;
use tollgate::config::{Settings, TigerBeetleSettings};
use tollgate::policy::{Complete, DefinitionFields, Key, Reason, Refusal, UnavailableMode};

use super::sharing::{Member, group};
use crate::support::tigerbeetle::Server;
use crate::support::tigerbeetle::way::Way;
use crate::support::{bucket, checked, concurrency, key, request, sleep_ms, until, used, within};

async fn until_away(member: &Member) {
    until(20, "the cluster is away", async || {
        drop(member.ledger.usage(&key("any")).get().await);
        matches!(member.ledger.health(), Health::Down(_))
    })
    .await;
}

fn slots(text: &str, when_unavailable: UnavailableMode) -> DefinitionFields {
    let local_share_percent = (when_unavailable == UnavailableMode::LocalShare).then_some(50);
    DefinitionFields { when_unavailable, local_share_percent, ..concurrency(text, 4, 600) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peek_answers_as_a_reservation_would() {
    let server = Server::start().await;
    within(120, async {
        let [member] = group(&server.settings()).await;
        let policies = [UnavailableMode::Deny, UnavailableMode::Allow, UnavailableMode::LocalShare];
        for (text, policy) in ["any", "allow", "share"].into_iter().zip(policies) {
            member.put(slots(text, policy), 1).await;
        }
        server.kill().await;
        until_away(&member).await;
        let counted = || {
            let session = member.ledger.session().expect("it has one");
            [session.denied_while_away, session.allowed_while_away, session.shared_while_away]
        };
        let reason = |refusal: Box<Refusal>| refusal.reason;
        for (text, amount) in [("any", 1), ("allow", 4), ("share", 2), ("share", 3), ("unknown", 1)] {
            let (asked, before) = (request(&[(text, amount)]), counted());
            let peeked = member.ledger.peek(&asked.amounts).get().await.map_err(reason);
            assert_eq!(counted(), before, "a look is no decision");
            let reserved = member.reserve(&asked).await.map_err(reason);
            assert_eq!(peeked, reserved.clone().map(drop), "{amount} of `{text}`");
            if let Ok(lease_id) = reserved {
                member.complete(lease_id, &[]).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_of_a_call_that_has_ended_is_not_granted_by_any_policy() {
    let server = Server::start().await;
    within(120, async {
        let [member] = group(&server.settings()).await;
        member.put(slots("any", UnavailableMode::Allow), 1).await;
        let asked = request(&[("any", 1)]);
        let lease_id = member.reserve(&asked).await.expect("there is room");
        member.complete(lease_id, &[]).await;
        server.kill().await;
        until_away(&member).await;
        assert_eq!(member.reserve(&asked).await.expect_err("its call has ended").reason, Reason::LeaseFinished);
        let other = member.grant(&[("any", 1)]).await;
        member.ledger.complete(&Complete { lease_id: other, actuals: used(&[]) }).get().await.expect("granted here");
    })
    .await;
}

/// Panics whenever it is told anything.
struct Fragile;

impl Observer for Fragile {
    fn capacity_freed(&self, _: &Key) {
        panic!("by this test: an observer fails");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_panics_keeps_no_server_from_coming_back() {
    let server = Server::start().await;
    within(120, async {
        let (way, settings) = (server.settings(), Settings::default());
        let connected = TigerBeetleLedger::connect(&way, &settings, Clock::start(), Arc::new(Fragile)).await;
        let ledger = connected.expect("connected");
        let definition = Arc::new(Registered { definition: checked(concurrency("any", 4, 600)), version: 1 });
        drop(ledger.apply(&definition).get().await);
        ledger.watch(&key("any"), true);
        let is_up = async || ledger.usage(&key("any")).get().await.is_ok();
        let rebuilt = || ledger.session().expect("it has one").rebuilt;
        // In the first outage it is told; in the second one somebody must still look after the client, and replace it.
        for _ in 0..2 {
            let before = rebuilt();
            server.kill().await;
            until(20, "it is away", async || !is_up().await && ledger.health() != Health::Up).await;
            sleep_ms(500).await;
            server.restart().await;
            until(20, "it is back", async || is_up().await && ledger.health() == Health::Up).await;
            assert!(before < rebuilt(), "nobody looks after the client");
        }
    })
    .await;
}

/// It refills by its old rule until it knows of the new one, by which others have refilled already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_fills_no_bucket_by_a_rule_that_was_changed_meanwhile() {
    const CAPACITY: u64 = 800;
    const PER_SECOND: u64 = 100;
    const STEP: u64 = 25;
    let server = Server::start().await;
    within(120, async {
        let way = Way::to(server.address());
        let [here] = group(&server.settings()).await;
        let [cut_off] = group(&TigerBeetleSettings { addresses: vec![way.address()], ..server.settings() }).await;
        let rule = |capacity| bucket("b", capacity, PER_SECOND, 1);
        for member in [&here, &cut_off] {
            member.put(rule(CAPACITY), 1).await;
        }
        let start = here.clock.now();
        let drain = async |member: &Member| {
            let mut granted = 0;
            while member.reserve(&request(&[("b", STEP)])).await.is_ok() {
                granted += STEP;
            }
            granted
        };
        let mut granted = drain(&cut_off).await;
        way.cut();
        until_away(&cut_off).await;
        here.put(rule(CAPACITY + 1), 2).await;
        for _ in 0..25 {
            sleep_ms(200).await;
            granted += drain(&here).await;
        }
        way.mend();
        until(20, "it is back", async || cut_off.ledger.health() == Health::Up).await;
        granted += drain(&cut_off).await;
        // One tick, an eighth of it, may have come just before the start.
        let seconds = here.clock.now().since(start).as_secs_f64() + 1.0;
        let most = (CAPACITY + 1) as f64 + seconds * PER_SECOND as f64;
        assert!(granted as f64 <= most, "{granted} were granted, {most} were there");
        assert!(CAPACITY + PER_SECOND < granted, "it refills: {granted}");
    })
    .await;
}
