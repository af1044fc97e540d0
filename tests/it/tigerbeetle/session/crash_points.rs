//! A process that dies before a change is sent, and one that dies when it is done.
#![cfg(feature = "crash-points")]

use std::process::{Command, Stdio};

use super::{connect, id, transfer, two_accounts};
use crate::support::tigerbeetle::Server;

const PROCESS: &str = "tigerbeetle::session::crash_points::makes_two_transfers_if_it_lives";
const CLUSTER: &str = "CRASH_POINTS_TEST_CLUSTER";
const LEDGER: &str = "CRASH_POINTS_TEST_LEDGER";

#[tokio::test]
#[ignore = "the other side of the test below, which starts it as a process"]
async fn makes_two_transfers_if_it_lives() {
    let Ok(cluster) = std::env::var(CLUSTER) else { return };
    let ledger = std::env::var(LEDGER).unwrap().parse().unwrap();
    let session = connect(&[cluster.parse().unwrap()]).await;
    for number in [10, 11] {
        session.create_transfers(vec![transfer(ledger, number)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_process_dies_at_its_crash_point() {
    for (crash_at, made) in [("before:1", 0), ("after:1", 1), ("before:2", 1), ("after:2", 2), ("after:3", 2)] {
        let shared = Server::shared().await;
        let session = connect(shared.addresses()).await;
        two_accounts(&session, shared.ledger()).await;
        let mut process = Command::new(std::env::current_exe().expect("it has a path"));
        process.args(["--exact", PROCESS, "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
        process.env(CLUSTER, shared.addresses()[0].to_string()).env(LEDGER, shared.ledger().to_string());
        process.env("TOLLGATE_CRASH_AT", crash_at);
        let status = tokio::task::spawn_blocking(move || process.status()).await.unwrap().expect("it runs");
        assert_eq!(status.success(), crash_at == "after:3", "{crash_at}: {status}");
        let ids = vec![id(shared.ledger(), 10), id(shared.ledger(), 11)];
        assert_eq!(session.lookup_transfers(ids).await.unwrap().value.len(), made, "{crash_at}");
    }
}
