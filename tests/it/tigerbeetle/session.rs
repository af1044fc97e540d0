//! The session with a cluster: what it answers, what it says when there is no cluster, and how it gets through bad
//! days.

mod answers;
mod bad_days;
mod connecting;
mod crash_points;
mod deadline;
mod traffic;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tigerbeetle_unofficial::{Account, Client, Transfer};
use tokio::task::JoinHandle;
use tollgate::backends::tigerbeetle::{Answer, Session, SessionError};
use tollgate::clock::Clock;
use tollgate::config::TigerBeetleSettings;

use crate::support::{sleep_ms, within};

const DEADLINE: Duration = Duration::from_millis(100);

fn settings(addresses: &[SocketAddr]) -> TigerBeetleSettings {
    TigerBeetleSettings { addresses: addresses.to_vec(), deadline: DEADLINE, ..TigerBeetleSettings::default() }
}

async fn connect(addresses: &[SocketAddr]) -> Arc<Session> {
    Session::connect(&settings(addresses), Clock::start()).await.expect("there is a cluster")
}

/// Does what the backend's actor does, until it is dropped.
struct Ticking(JoinHandle<()>);

impl Ticking {
    fn of(session: &Arc<Session>) -> Self {
        let session = Arc::clone(session);
        Self(tokio::spawn(async move {
            loop {
                session.tick();
                sleep_ms(100).await;
            }
        }))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Two accounts of `ledger`, from the first of which to the second transfers may go.
async fn two_accounts(session: &Session, ledger: u32) -> (u128, u128) {
    let (from, to) = (id(ledger, 1), id(ledger, 2));
    let created = session.create_accounts(vec![Account::new(from, ledger, 1), Account::new(to, ledger, 1)]).await;
    assert!(failed(created).is_empty());
    (from, to)
}

/// What could not be created, and why.
fn failed<K: Debug>(created: Result<Answer<Vec<(usize, K)>>, SessionError>) -> Vec<String> {
    let failed = created.expect("an answer").value.into_iter();
    failed.map(|(place, kind)| format!("{place}: {kind:?}")).collect()
}

/// An id that no other test has.
fn id(ledger: u32, number: u64) -> u128 {
    u128::from(ledger) << 64 | u128::from(number)
}

fn transfer(ledger: u32, number: u64) -> Transfer {
    let transfer = Transfer::new(id(ledger, number)).with_ledger(ledger).with_code(1).with_amount(1);
    transfer.with_debit_account_id(id(ledger, 1)).with_credit_account_id(id(ledger, 2))
}

/// A client of somebody else that has had an answer.
async fn stranger(addresses: &[SocketAddr]) -> Client {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let client = Client::new(0, addresses.join(",")).expect("a client");
    within(60, client.lookup_accounts(vec![1])).await.expect("an answer");
    client
}

/// Waits until nothing is in flight.
async fn until_idle(session: &Session) {
    within(5, async {
        while session.status().in_flight != 0 {
            sleep_ms(1).await
        }
    })
    .await;
}
