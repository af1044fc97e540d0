//! The servers that tests start do what a test wants of them.

use std::net::SocketAddr;

use tigerbeetle_unofficial::{Account, Client};

use crate::support::tigerbeetle::{Cluster, Server};
use crate::support::within;

const PATIENCE_SECONDS: u64 = 60;

pub(super) fn client(addresses: &[SocketAddr]) -> Client {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    Client::new(0, addresses.join(",")).expect("a client")
}

pub(super) async fn create(client: &Client, id: u128, ledger: u32) {
    let created = client.create_accounts(vec![Account::new(id, ledger, 1)]);
    within(PATIENCE_SECONDS, created).await.expect("it is created");
}

pub(super) async fn ledger_of(client: &Client, id: u128) -> Option<u32> {
    let found = within(PATIENCE_SECONDS, client.lookup_accounts(vec![id])).await.expect("an answer");
    found.first().map(Account::ledger)
}

#[tokio::test]
async fn the_shared_server_lends_each_test_a_ledger_of_its_own() {
    let one = Server::shared().await;
    assert_eq!((one.settings().ledger, one.settings().addresses.as_slice()), (one.ledger(), one.addresses()));
    let client = client(one.addresses());
    create(&client, u128::from(one.ledger()), one.ledger()).await;
    assert_eq!(ledger_of(&client, u128::from(one.ledger())).await, Some(one.ledger()));
    let (addresses, ledger) = (one.addresses().to_vec(), one.ledger());
    // Who waits for clients while it has some may wait for one who waits for these.
    drop((client, one));
    let other = Server::shared().await;
    assert_eq!(addresses, other.addresses());
    assert_ne!(ledger, other.ledger());
}

#[tokio::test]
async fn a_server_keeps_its_address_and_its_books_when_it_is_killed() {
    let server = Server::start().await;
    assert_eq!(server.addresses(), [server.address()]);
    let client = client(server.addresses());
    create(&client, 7, 1).await;
    server.kill().await;
    let refused = tokio::net::TcpStream::connect(server.address()).await;
    assert!(refused.is_err(), "it is gone");
    server.restart().await;
    assert_eq!(ledger_of(&client, 7).await, Some(1), "{}", server.log());
    server.restart().await;
    assert_eq!(ledger_of(&client, 7).await, Some(1), "one that runs is ended first");
}

#[tokio::test]
async fn a_stopped_server_answers_when_it_goes_on() {
    let server = Server::start().await;
    let client = client(server.addresses());
    assert_eq!(ledger_of(&client, 7).await, None);
    server.stop().await;
    let asked = ledger_of(&client, 7);
    tokio::pin!(asked);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(500), &mut asked).await;
    assert!(waited.is_err(), "it does nothing");
    server.cont().await;
    assert_eq!(asked.await, None);
}

#[tokio::test]
async fn a_cluster_answers_without_one_of_its_replicas() {
    let cluster = Cluster::start(3).await;
    assert_eq!((cluster.addresses().len(), cluster.settings().addresses.as_slice()), (3, cluster.addresses()));
    let client = client(cluster.addresses());
    create(&client, 7, 1).await;
    cluster.replicas[1].kill().await;
    assert_eq!(ledger_of(&client, 7).await, Some(1));
    cluster.replicas[1].recover().await;
    cluster.replicas[0].kill().await;
    assert_eq!(ledger_of(&client, 7).await, Some(1));
}
