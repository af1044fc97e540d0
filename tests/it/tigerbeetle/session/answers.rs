//! What a session answers.

use std::time::Duration;

use tigerbeetle_unofficial::{Account, QueryFilter, Transfer, account};
use tollgate::backends::tigerbeetle::{Session, SessionError};
use tollgate::backends::{Health, SessionStatus};
use tollgate::clock::Clock;

use super::{DEADLINE, connect, failed, id, settings, transfer, two_accounts};
use crate::support::tigerbeetle::Server;

/// By how much the machine's clock may be set while a test runs.
const SLACK_MS: u64 = 200;

#[tokio::test]
async fn creating_names_what_failed() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    let ledger = shared.ledger();
    two_accounts(&session, ledger).await;
    let again =
        session.create_accounts(vec![Account::new(id(ledger, 3), ledger, 1), Account::new(id(ledger, 1), ledger, 2)]);
    assert_eq!(failed(again.await), ["1: ExistsWithDifferentCode"]);
    let twice = session.create_transfers(vec![transfer(ledger, 10), transfer(ledger, 11), transfer(ledger, 10)]);
    assert_eq!(failed(twice.await), ["2: Exists"]);
}

#[tokio::test]
async fn what_was_created_is_found() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    let ledger = shared.ledger();
    let (from, _) = two_accounts(&session, ledger).await;
    let transfers = vec![transfer(ledger, 10).with_user_data_128(id(ledger, 9)), transfer(ledger, 11)];
    assert!(failed(session.create_transfers(transfers).await).is_empty());

    let accounts = session.lookup_accounts(vec![from, id(ledger, 404)]).await.unwrap().value;
    assert_eq!(accounts.iter().map(|account| account.as_raw().debits_posted).collect::<Vec<_>>(), [2]);
    let ids = |transfers: Vec<Transfer>| transfers.iter().map(|each| each.id()).collect::<Vec<_>>();
    let found = session.lookup_transfers(vec![id(ledger, 11), id(ledger, 404)]).await.unwrap().value;
    assert_eq!(ids(found), [id(ledger, 11)]);
    let queried = session.query_transfers(QueryFilter::new(8).with_user_data_128(id(ledger, 9))).await.unwrap().value;
    assert_eq!(ids(queried), [id(ledger, 10)]);
    let of_account = account::Filter::new(from, 8).with_flags(account::FilterFlags::DEBITS);
    let listed = session.account_transfers(of_account).await.unwrap().value;
    assert_eq!(ids(listed), [id(ledger, 10), id(ledger, 11)]);
}

#[tokio::test]
async fn the_cluster_is_not_asked_for_nothing() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    assert!(failed(session.create_accounts(Vec::new()).await).is_empty());
    assert!(failed(session.create_transfers(Vec::new()).await).is_empty());
    assert_eq!(session.lookup_transfers(Vec::new()).await.unwrap().value.len(), 0);
    let answer = session.lookup_accounts(Vec::new()).await.unwrap();
    assert_eq!(answer.value.len(), 0);
    assert!(answer.cluster_ns.abs_diff(session.cluster_ns()) < 1_000_000_000);
}

#[tokio::test]
async fn a_packet_that_is_too_large_is_refused_and_nothing_else() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    let refused = session.lookup_accounts(vec![1; 9_000]).await.err();
    assert_eq!(refused, Some(SessionError::Lost("Too much data provided on this batch".to_owned())));
    assert!(session.lookup_accounts(vec![1]).await.is_ok());
    let idle = SessionStatus { in_flight_max: 4_096, ..SessionStatus::default() };
    assert_eq!((session.status(), session.health()), (idle, Health::Up));
}

/// A single replica's time is that of the machine.
#[tokio::test]
async fn the_cluster_s_time_is_known() {
    let shared = Server::shared().await;
    let clock = Clock::start();
    let session = Session::connect(&settings(shared.addresses()), clock.clone()).await.unwrap();
    assert_eq!(session.deadline(), DEADLINE);
    for _ in 0..20 {
        let asked = clock.now();
        let answer = session.lookup_accounts(vec![1]).await.unwrap();
        let now_ns = session.cluster_ns();
        let now = clock.now();
        assert!(answer.cluster_ns <= now_ns, "the request was taken in before");
        let (took, since) = (now.since(asked), now.since(session.moment_of(answer.cluster_ns)));
        assert!(
            since <= took + Duration::from_millis(SLACK_MS),
            "the request was taken in {since:?} ago, and made {took:?} ago"
        );
        let wall_ms = clock.unix_ms_at(asked) - SLACK_MS..=clock.unix_ms_at(now) + SLACK_MS;
        let cluster_ms = now_ns / 1_000_000;
        assert!(wall_ms.contains(&cluster_ms), "{cluster_ms} is not in {wall_ms:?}");
    }
}
