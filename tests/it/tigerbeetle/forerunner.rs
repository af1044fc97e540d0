//! A hold of nothing runs ahead of all others while leases come and go: completions are slow where they give back the
//! hold that would expire first.

use std::time::Duration;

use tigerbeetle_unofficial::{QueryFilter, transfer};
use tollgate::backends::tigerbeetle::Session;
use tollgate::clock::Clock;

use super::sharing::group;
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, within};

/// The `code` of such a transfer.
const FORERUNNER: u16 = 30;

const POLL: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_of_nothing_expires_before_those_of_leases() {
    let shared = Server::shared().await;
    within(60, async {
        let settings = shared.settings();
        let session = Session::connect(&settings, Clock::start()).await.expect("a session");
        let [member] = group(&settings).await;
        let sent = async || {
            let filter = QueryFilter::new(10).with_ledger(settings.ledger).with_code(FORERUNNER);
            session.query_transfers(filter).await.expect("an answer").value
        };
        member.put(concurrency("c", 3, 600), 1).await;
        assert!(sent().await.is_empty(), "no lease has come or gone");
        let lease = member.grant(&[("c", 1)]).await;
        let ahead = loop {
            match sent().await.pop() {
                Some(transfer) => break transfer,
                None => tokio::time::sleep(POLL).await,
            }
        };
        assert_eq!((ahead.amount(), ahead.timeout(), ahead.flags()), (0, 10, transfer::Flags::PENDING));
        assert_eq!(member.available("c").await, 2);
        member.complete(lease, &[]).await;
        assert_eq!(member.available("c").await, 3);
    })
    .await;
}
