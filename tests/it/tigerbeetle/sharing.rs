//! Several servers that share one ledger: one limit, one lease, one definition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tollgate::backends::tigerbeetle::TigerBeetleLedger;
use tollgate::backends::{Applied, Backend, Observer, Registered, Usage};
use tollgate::clock::Clock;
use tollgate::config::{Settings, TigerBeetleSettings};
use tollgate::policy::{
    Complete, DefinitionFields, Key, LeaseId, LimitState, Overage, Reason, Refusal, Renew, Reserve,
};

use crate::support::tigerbeetle::Server;
use crate::support::{bucket, checked, concurrency, key, request, rolling, used, within};

/// Counts how often it was told of capacity.
#[derive(Default)]
struct Told(AtomicU64);

impl Observer for Told {
    fn capacity_freed(&self, _: &Key) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One server of a group.
struct Member {
    ledger: Arc<TigerBeetleLedger>,
    told: Arc<Told>,
}

impl Member {
    async fn put(&self, fields: DefinitionFields, version: u64) -> Applied {
        let registered = Arc::new(Registered { definition: checked(fields), version });
        self.ledger.apply(&registered).get().await.expect("the ledger answers")
    }

    async fn reserve(&self, request: &Reserve) -> Result<LeaseId, Box<Refusal>> {
        self.ledger.reserve(request).get().await.map(|grant| grant.lease_id)
    }

    async fn grant(&self, requirements: &[(&str, u64)]) -> LeaseId {
        self.reserve(&request(requirements)).await.expect("there is room")
    }

    async fn complete(&self, lease_id: LeaseId, actuals: &[(&str, u64)]) {
        self.ledger.complete(&Complete { lease_id, actuals: used(actuals) }).get().await.expect("completed");
    }

    async fn usage(&self, text: &str) -> Usage {
        self.ledger.usage(&key(text)).get().await.expect("the ledger answers").expect("a limit")
    }

    async fn available(&self, text: &str) -> u64 {
        self.usage(text).await.available
    }
}

async fn group<const N: usize>(settings: &TigerBeetleSettings) -> [Member; N] {
    let mut members = Vec::new();
    for _ in 0..N {
        let told = Arc::<Told>::default();
        let observer: Arc<dyn Observer> = Arc::<Told>::clone(&told);
        let ledger = TigerBeetleLedger::connect(settings, &Settings::default(), Clock::start(), observer).await;
        let ledger = Arc::new(ledger.expect("connected"));
        let beating = Arc::downgrade(&ledger);
        tokio::spawn(async move {
            while let Some(ledger) = beating.upgrade() {
                ledger.sweep();
                drop(ledger);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        members.push(Member { ledger, told });
    }
    members.try_into().unwrap_or_else(|_| unreachable!("as many as were made"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_keeps_its_books() {
    let shared = Server::shared().await;
    within(60, async {
        let [one] = group(&shared.settings()).await;
        assert_eq!(one.put(rolling("r", 10, 60), 1).await, Applied::InForce(LimitState::Active));
        one.put(concurrency("c", 3, 60), 2).await;
        one.put(bucket("b", 10, 1, 600), 3).await;
        let lease = one.grant(&[("r", 4), ("c", 2), ("b", 5)]).await;
        assert_eq!((one.available("r").await, one.available("c").await, one.available("b").await), (6, 1, 5));
        let refusal = one.reserve(&request(&[("r", 7), ("c", 1)])).await.expect_err("r is short");
        assert_eq!((refusal.reason, refusal.denied[0].available), (Reason::Denied, 6));
        assert_eq!(one.available("c").await, 1, "all or nothing");
        one.complete(lease, &[("r", 1), ("b", 2)]).await;
        assert_eq!((one.available("r").await, one.available("c").await, one.available("b").await), (9, 3, 8));
        one.complete(lease, &[("r", 0)]).await;
        assert_eq!(one.available("r").await, 9);
        let _ = (Overage::Debt, &one.told, Renew { lease_id: lease, timeout: None });
    })
    .await;
}
