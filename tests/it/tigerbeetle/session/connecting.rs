//! What is said when there is no cluster, or none that fits. What people can get wrong is provoked for real.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tollgate::backends::tigerbeetle::{ConnectError, Session};
use tollgate::clock::Clock;
use tollgate::config::TigerBeetleSettings;

use super::{connect, settings, stranger};
use crate::support::addresses::nobody;
use crate::support::tigerbeetle::way::Way;
use crate::support::tigerbeetle::{Cluster, NEWER, OLDER, Server};
use crate::support::{sleep_ms, within};

/// Ten seconds for an answer, at most two to find out more, and what a busy machine adds.
const ERROR_SECONDS_MAX: u64 = 30;

async fn error(settings: &TigerBeetleSettings) -> ConnectError {
    let connected = within(ERROR_SECONDS_MAX, Session::connect(settings, Clock::start())).await;
    connected.err().expect("there is no such cluster")
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

#[tokio::test]
async fn nobody_listens() {
    let (_nobody, address) = nobody();
    assert_eq!(error(&settings(&[address])).await, ConnectError::NobodyListens(address.to_string()));
}

#[cfg(feature = "server")]
#[tokio::test]
async fn an_http_server_listens() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
    let wrong = error(&settings(&[address])).await;
    let ConnectError::NotTigerBeetle { address: said, answer } = &wrong else { panic!("{wrong}") };
    assert_eq!(*said, address.to_string());
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    server.abort();
}

#[tokio::test]
async fn something_silent_listens() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap().0);
        }
    });
    assert_eq!(error(&settings(&[address])).await, ConnectError::Silent(address.to_string()));
    server.abort();
}

#[tokio::test]
async fn something_closes_the_connection() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap().0;
            let _ = stream.read(&mut [0; 16]).await;
        }
    });
    let wrong = error(&settings(&[address])).await;
    assert_eq!(wrong, ConnectError::NotThisCluster { addresses: address.to_string(), cluster_id: 0 });
    server.abort();
}

#[tokio::test]
async fn the_cluster_has_another_number() {
    let shared = Server::shared().await;
    let address = shared.addresses()[0];
    let other = TigerBeetleSettings { cluster_id: 7, ..settings(shared.addresses()) };
    let wrong = error(&other).await;
    assert_eq!(wrong, ConnectError::NotThisCluster { addresses: address.to_string(), cluster_id: 7 });
}

#[tokio::test]
async fn the_cluster_is_of_an_older_release() {
    let server = Server::start_of(OLDER).await;
    let wrong = error(&settings(server.addresses())).await;
    assert_eq!(wrong, ConnectError::ClusterTooOld(server.address().to_string()));
}

#[tokio::test]
async fn the_cluster_is_of_a_newer_release() {
    let server = Server::start_of(NEWER).await;
    let wrong = error(&settings(server.addresses())).await;
    assert_eq!(wrong, ConnectError::ClusterTooNew(server.address().to_string()));
}

#[tokio::test]
async fn most_replicas_are_missing() {
    let cluster = Cluster::start(3).await;
    cluster.replicas[0].kill().await;
    cluster.replicas[2].kill().await;
    let text = |index: usize| cluster.addresses()[index].to_string();
    let wrong = error(&settings(cluster.addresses())).await;
    let (all, missing) = ([text(0), text(1), text(2)].join(", "), [text(0), text(2)].join(", "));
    assert_eq!(wrong, ConnectError::NoMajority { all, missing });
}

/// With `--development` there are eight. When one goes, who waits is let in.
#[tokio::test]
async fn every_connection_is_taken() {
    let server = Server::start().await;
    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(stranger(server.addresses()).await);
    }
    assert_eq!(error(&settings(server.addresses())).await, ConnectError::Silent(server.address().to_string()));
    let addresses = server.addresses().to_vec();
    let waiting = tokio::spawn(async move { connect(&addresses).await });
    sleep_ms(2_000).await;
    assert!(!waiting.is_finished());
    let gone = strangers.pop();
    tokio::task::spawn_blocking(move || drop(gone)).await.unwrap();
    let session = within(5, waiting).await.unwrap();
    assert!(session.lookup_accounts(vec![1]).await.is_ok());
}

#[tokio::test]
async fn a_stopped_server_is_silent() {
    let server = Server::start().await;
    server.stop().await;
    assert_eq!(error(&settings(server.addresses())).await, ConnectError::Silent(server.address().to_string()));
}

#[tokio::test]
async fn addresses_that_are_none() {
    let settings = TigerBeetleSettings { addresses: Vec::new(), ..TigerBeetleSettings::default() };
    assert_eq!(error(&settings).await, ConnectError::Addresses("there are none".to_owned()));
}

#[tokio::test]
async fn nobody_listens_at_an_address_of_ipv6() {
    let (_nobody, beside) = nobody();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, beside.port()));
    assert_eq!(error(&settings(&[address])).await, ConnectError::NobodyListens(address.to_string()));
}

/// A server may be started together with this process. Here only its address comes late: how long a server takes to
/// start is the machine's affair.
#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let server = Server::start().await;
    let (nobody_yet, address) = nobody();
    let waiting = tokio::spawn(async move { connect(&[address]).await });
    sleep_ms(500).await;
    assert!(!waiting.is_finished());
    let _way = Way::from(nobody_yet.listen(64).expect("it is bound"), server.address());
    let session = within(ERROR_SECONDS_MAX, waiting).await.unwrap();
    assert!(!session.is_away());
}

/// A host that gives up while it waits.
#[tokio::test]
async fn an_attempt_that_is_dropped_leaves_nothing_behind() {
    let shared = Server::shared().await;
    let settings = TigerBeetleSettings { cluster_id: 7, ..settings(shared.addresses()) };
    let attempt = tokio::time::timeout(Duration::from_millis(300), Session::connect(&settings, Clock::start())).await;
    assert!(attempt.is_err(), "it would have taken longer");
}
