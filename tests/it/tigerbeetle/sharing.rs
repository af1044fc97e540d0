//! Several servers that share one ledger: one limit, one lease, one definition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tollgate::backends::tigerbeetle::TigerBeetleLedger;
use tollgate::backends::{Applied, Backend, Observer, Registered, Usage};
use tollgate::clock::Clock;
use tollgate::config::{Settings, TigerBeetleSettings};
use tollgate::policy::{
    Complete, DefinitionFields, Key, LeaseError, LeaseId, LimitState, Overage, Reason, Refusal, Renew, Reserve,
};

use crate::support::tigerbeetle::Server;
use crate::support::{bucket, checked, concurrency, key, pattern, request, rolling, used, within};

pub(super) const ACTIVE: Applied = Applied::InForce(LimitState::Active);

/// Counts how often it was told of capacity.
#[derive(Default)]
struct Told(AtomicU64);

impl Observer for Told {
    fn capacity_freed(&self, _: &Key) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One server of a group.
pub(super) struct Member {
    pub(super) ledger: Arc<TigerBeetleLedger>,
    told: Arc<Told>,
    pub(super) clock: Clock,
}

impl Member {
    pub(super) async fn put(&self, fields: DefinitionFields, version: u64) -> Applied {
        let registered = Arc::new(Registered { definition: checked(fields), version });
        self.ledger.apply(&registered).get().await.expect("the ledger answers")
    }

    pub(super) async fn remove(&self, text: &str, version: u64) {
        self.ledger.remove(&pattern(text), version).get().await.expect("the ledger answers");
    }

    pub(super) async fn reserve(&self, request: &Reserve) -> Result<LeaseId, Box<Refusal>> {
        self.ledger.reserve(request).get().await.map(|grant| grant.lease_id)
    }

    pub(super) async fn grant(&self, requirements: &[(&str, u64)]) -> LeaseId {
        self.reserve(&request(requirements)).await.expect("there is room")
    }

    pub(super) async fn complete(&self, lease_id: LeaseId, actuals: &[(&str, u64)]) {
        self.ledger.complete(&Complete { lease_id, actuals: used(actuals) }).get().await.expect("completed");
    }

    /// How often its client was replaced.
    pub(super) fn rebuilt(&self) -> u64 {
        self.ledger.session().expect("of a ledger that is reached over one").rebuilt
    }

    pub(super) async fn usage(&self, text: &str) -> Usage {
        self.ledger.usage(&key(text)).get().await.expect("the ledger answers").expect("a limit")
    }

    pub(super) async fn available(&self, text: &str) -> u64 {
        self.usage(text).await.available
    }
}

pub(super) async fn group<const N: usize>(settings: &TigerBeetleSettings) -> [Member; N] {
    let mut members = Vec::new();
    for _ in 0..N {
        let told = Arc::<Told>::default();
        let observer: Arc<dyn Observer> = Arc::<Told>::clone(&told);
        let clock = Clock::start();
        let ledger = TigerBeetleLedger::connect(settings, &Settings::default(), clock.clone(), observer).await;
        let ledger = Arc::new(ledger.expect("connected"));
        let beating = Arc::downgrade(&ledger);
        tokio::spawn(async move {
            while let Some(ledger) = beating.upgrade() {
                while ledger.sweep() {}
                drop(ledger);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        members.push(Member { ledger, told, clock });
    }
    members.try_into().unwrap_or_else(|_| unreachable!("as many as were made"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_has_no_home() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            member.put(rolling("r", 10, 600), 1).await;
            member.put(concurrency("c", 3, 600), 2).await;
            member.put(bucket("b", 10, 1, 6_000), 3).await;
            member.put(rolling("tenant:{t}:r", 10, 600), 4).await;
        }
        let requirements = [("r", 4), ("c", 2), ("b", 5), ("tenant:x:r", 7)];
        let asked = request(&requirements);
        let lease = one.reserve(&asked).await.expect("there is room");
        // Whoever asks again, here or there, has the same grant.
        assert_eq!(other.reserve(&asked).await, Ok(lease));
        assert_eq!((other.available("r").await, other.available("c").await), (6, 1));
        let stray = Complete { lease_id: lease, actuals: used(&[("r", 1), ("unknown", 1)]) };
        let error = other.ledger.complete(&stray).get().await.expect_err("it holds no such key");
        assert_eq!(error.to_string(), "the lease does not hold `unknown`; name only keys that were reserved");
        other.ledger.renew(&Renew { lease_id: lease, timeout: None }).get().await.expect("it is live");
        one.ledger.renew(&Renew { lease_id: lease, timeout: None }).get().await.expect("whoever renewed it before");
        other.complete(lease, &[("r", 1), ("b", 2), ("tenant:x:r", 9)]).await;
        for member in [&one, &other] {
            assert_eq!(member.available("r").await, 9);
            assert_eq!((member.available("c").await, member.available("b").await), (3, 8));
            assert_eq!(member.available("tenant:x:r").await, 1, "what was used beyond is charged too");
            member.complete(lease, &[("r", 0)]).await;
            assert_eq!(member.available("r").await, 9, "it is over for everybody");
            let renewed = member.ledger.renew(&Renew { lease_id: lease, timeout: None }).get().await;
            assert_eq!(renewed, Err(LeaseError::Finished));
            assert_eq!(member.reserve(&asked).await.expect_err("over").reason, Reason::LeaseFinished);
        }
        let tokens = one.grant(&[("r", 1)]).await;
        other.complete(tokens, &[]).await;
        let renewed = one.ledger.renew(&Renew { lease_id: tokens, timeout: None }).get().await;
        assert_eq!(renewed, Err(LeaseError::Finished), "also without a slot to renew");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_saw_a_lease_ends_it_from_the_ledger_alone() {
    let shared = Server::shared().await;
    within(120, async {
        let definitions = [concurrency("slots:{pool}", 3, 600), rolling("r", 10, 600)];
        let lease = {
            let [gone] = group(&shared.settings()).await;
            for (fields, version) in definitions.clone().into_iter().zip(1..) {
                gone.put(fields, version).await;
            }
            gone.grant(&[("slots:a", 3), ("r", 6)]).await
        };
        let [fresh] = group(&shared.settings()).await;
        let view = fresh.ledger.lease(lease).get().await.expect("an answer").expect("it is in the ledger");
        assert!(view.is_live && view.holds.len() == 2, "{view:?}");
        fresh.complete(lease, &[]).await;
        for (fields, version) in definitions.into_iter().zip(1..) {
            fresh.put(fields, version).await;
        }
        assert_eq!((fresh.available("slots:a").await, fresh.available("r").await), (3, 4));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_definition_wins_and_no_account_is_funded_twice() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        // Both at the same time, and again: the capacity is there once.
        for _ in 0..2 {
            let put = |member: &Member| {
                let ledger = Arc::clone(&member.ledger);
                async move {
                    let registered = Arc::new(Registered { definition: checked(rolling("r", 10, 600)), version: 5 });
                    ledger.apply(&registered).get().await.expect("the ledger answers")
                }
            };
            let both = tokio::join!(put(&one), put(&other));
            assert_eq!(both, (ACTIVE, ACTIVE));
        }
        assert_eq!((one.available("r").await, other.available("r").await), (10, 10));
        // The one whose definition is older is told, and follows.
        assert_eq!(one.put(rolling("r", 20, 600), 7).await, ACTIVE);
        let [late] = group(&shared.settings()).await;
        assert_eq!(late.put(rolling("r", 10, 600), 5).await, Applied::Superseded { version: 7 });
        let usage = late.usage("r").await;
        assert_eq!((usage.capacity, usage.available), (20, 20));
        late.grant(&[("r", 15)]).await;
        assert_eq!(
            late.put(rolling("r", 11, 600), 7).await,
            Applied::Superseded { version: 7 },
            "the first of two stays"
        );
        // The other one learns of a decrease by itself, and admits nothing until it is applied.
        assert!(matches!(one.put(rolling("r", 12, 600), 8).await, Applied::InForce(LimitState::Decreasing { .. })));
        while other.reserve(&request(&[("r", 1)])).await.err().map(|refusal| refusal.reason.code())
            != Some("limit_decreasing:r".to_owned())
        {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_and_three_servers_admit_exactly_what_there_is() {
    let shared = Server::shared().await;
    within(300, async {
        let settings =
            TigerBeetleSettings { deadline: Duration::from_secs(120), in_flight_max: 100_000, ..shared.settings() };
        let members: [Member; 3] = group(&settings).await;
        for count in [1, 3] {
            let (slots, tokens) = (format!("slots:{count}"), format!("tokens:{count}"));
            for member in &members[..count] {
                member.put(concurrency(&slots, 50, 3_600), 1).await;
                member.put(rolling(&tokens, 1_000, 3_600), 2).await;
            }
            let calls = (0..10_000).map(|call| {
                let ledger = Arc::clone(&members[call % count].ledger);
                let request = request(&[(slots.as_str(), 1), (tokens.as_str(), 30)]);
                tokio::spawn(async move { ledger.reserve(&request).get().await })
            });
            let mut granted = Vec::new();
            for call in calls.collect::<Vec<_>>() {
                match call.await.expect("no panic") {
                    Ok(grant) => granted.push(grant.lease_id),
                    Err(refusal) => assert_eq!(refusal.reason, Reason::Denied, "{refusal}"),
                }
            }
            assert_eq!(granted.len(), 33, "1000 / 30, of 10 000 calls through {count}");
            assert_eq!(members[0].available(&tokens).await, 10);
            for (at, lease) in granted.into_iter().enumerate() {
                members[at % 3].complete(lease, &[(tokens.as_str(), 0)]).await;
            }
            assert_eq!(members[0].available(&slots).await, 50);
            assert_eq!(members[0].available(&tokens).await, 1_000);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debt_that_one_server_makes_is_paid_from_what_another_frees() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        let repay = || DefinitionFields { overage: Overage::Repay, ..rolling("r", 10, 600) };
        for member in [&one, &other] {
            member.put(repay(), 1).await;
        }
        let (small, large) = (other.grant(&[("r", 4)]).await, one.grant(&[("r", 6)]).await);
        one.complete(large, &[("r", 9)]).await;
        other.complete(small, &[("r", 0)]).await;
        for member in [&one, &other] {
            let usage = member.usage("r").await;
            assert_eq!((usage.available, usage.debt), (1, 0), "3 of the 4 that were freed are owed");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_hears_of_capacity_that_another_server_frees() {
    let shared = Server::shared().await;
    within(120, async {
        let [one, other] = group(&shared.settings()).await;
        for member in [&one, &other] {
            member.put(concurrency("c", 1, 600), 1).await;
        }
        let lease = other.grant(&[("c", 1)]).await;
        one.ledger.watch(&key("c"), true);
        assert!(one.reserve(&request(&[("c", 1)])).await.is_err());
        let told = || one.told.0.load(Ordering::Relaxed);
        let before = told();
        other.complete(lease, &[]).await;
        while told() == before {
            tokio::task::yield_now().await;
        }
        one.grant(&[("c", 1)]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_with_ledgers_of_their_own_share_nothing() {
    let shared = Server::shared().await;
    within(120, async {
        let elsewhere = TigerBeetleSettings { ledger: shared.another_ledger(), ..shared.settings() };
        let ([one], [other]) = (group(&shared.settings()).await, group(&elsewhere).await);
        let asked = request(&[("c", 1)]);
        for member in [&one, &other] {
            member.put(concurrency("c", 1, 600), 1).await;
            member.reserve(&asked).await.expect("each has its own slot, under the same lease id");
        }
        one.complete(asked.lease_id, &[]).await;
        assert_eq!((one.available("c").await, other.available("c").await), (1, 0));
    })
    .await;
}
