//! More than 64 clients come to a cluster: the one that was silent for longest has to go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tigerbeetle_unofficial::Client;
use tollgate::backends::tigerbeetle::TigerBeetleLedger;
use tollgate::backends::{Applied, Backend, Observer, Registered};
use tollgate::clock::Clock;
use tollgate::config::{Settings, TigerBeetleSettings};
use tollgate::policy::{Complete, Key, LimitState, Reason};

use crate::support::tigerbeetle::Server;
use crate::support::{checked, key, request, rolling, sleep_ms, until, used, within};

const SESSIONS_MAX: usize = 64;

/// One that a busy machine keeps: no deadline has to pass until the ledger is told that its session is over.
const DEADLINE: Duration = Duration::from_secs(2);

/// Recovery, and what a busy machine adds.
const RECOVERY_SECONDS: u64 = 5;

struct Nobody;

impl Observer for Nobody {
    fn capacity_freed(&self, _: &Key) {}
}

/// A client of somebody else that has had an answer.
pub(super) async fn stranger(server: &Server) -> Client {
    stranger_at(server.addresses()).await
}

pub(super) async fn stranger_at(addresses: &[SocketAddr]) -> Client {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let client = Client::new(0, addresses.join(",")).expect("a client");
    within(60, client.lookup_accounts(vec![1])).await.expect("an answer");
    client
}

/// So many that whoever says nothing meanwhile has no session any more. Nothing else runs on this thread until then.
fn let_strangers_in(server: &Server) {
    let strangers = async {
        for _ in 0..SESSIONS_MAX.div_ceil(4) {
            tokio::join!(stranger(server), stranger(server), stranger(server), stranger(server));
        }
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(strangers)).join()).expect("no panic");
}

#[tokio::test]
async fn a_ledger_that_was_evicted_goes_on_and_loses_nothing() {
    let server = Server::start().await;
    within(150, async {
        let settings = TigerBeetleSettings { deadline: DEADLINE, ..server.settings() };
        let observer: Arc<dyn Observer> = Arc::new(Nobody);
        let ledger = TigerBeetleLedger::connect(&settings, &Settings::default(), Clock::start(), observer).await;
        let ledger = Arc::new(ledger.expect("connected"));
        let registered = Arc::new(Registered { definition: checked(rolling("r", 10, 3_600)), version: 1 });
        assert_eq!(ledger.apply(&registered).get().await, Ok(Applied::InForce(LimitState::Active)));
        let mut leases = Vec::new();
        for _ in 0..2 {
            leases.push(ledger.reserve(&request(&[("r", 3)])).get().await.expect("there is room").lease_id);
        }
        // It would say something once a second, and so not be the one that was silent for longest.
        let_strangers_in(&server);
        let told = ledger.reserve(&request(&[("r", 4)])).get().await.expect_err("its session is over");
        assert!(matches!(told.reason, Reason::BackendError(_)), "{told}");
        let recovered = async {
            loop {
                match ledger.reserve(&request(&[("r", 4)])).get().await {
                    Ok(grant) => return leases.push(grant.lease_id),
                    Err(refusal) => {
                        // The one that was told otherwise above may be on its way back.
                        let is_expected = matches!(refusal.reason, Reason::BackendError(_) | Reason::Denied);
                        assert!(is_expected, "{refusal}");
                    }
                }
                sleep_ms(10).await;
            }
        };
        let recovered = tokio::time::timeout(Duration::from_secs(RECOVERY_SECONDS), recovered).await;
        assert!(recovered.is_ok(), "{:?}, {:?}", ledger.session(), ledger.usage(&key("r")).get().await);
        assert_eq!(ledger.session().expect("it has one").rebuilt, 1);
        for lease_id in leases {
            let request = Complete { lease_id, actuals: used(&[("r", 0)]) };
            assert_eq!(ledger.complete(&request).get().await, Ok(()));
        }
        let usage = async || ledger.usage(&key("r")).get().await.expect("an answer").expect("a limit");
        until(RECOVERY_SECONDS, "all is free", async || usage().await.available == 10).await;
    })
    .await;
}
