//! Work with a deadline: what its caller sees, and what becomes of the rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tollgate::backends::tigerbeetle::{Session, SessionError, TimedOut, within_deadline};
use tollgate::clock::Clock;
use tollgate::config::TigerBeetleSettings;

use super::{connect, id, settings, transfer, two_accounts};
use crate::support::tigerbeetle::{Server, Shared};
use crate::support::{sleep_ms, within};

/// A session with a deadline that the cluster keeps.
async fn patient(shared: &Shared, deadline_seconds: u64) -> Arc<Session> {
    let deadline = Duration::from_secs(deadline_seconds);
    let settings = TigerBeetleSettings { deadline, ..settings(shared.addresses()) };
    Session::connect(&settings, Clock::start()).await.expect("there is a cluster")
}

/// Work of two steps, the second of which the cluster does.
fn work(
    session: &Arc<Session>,
    wait_ms: u64,
    ledger: u32,
    number: u64,
) -> impl Future<Output = Result<usize, SessionError>> + Send + 'static + use<> {
    let session = Arc::clone(session);
    async move {
        sleep_ms(wait_ms).await;
        session.create_transfers(vec![transfer(ledger, number)]).await.map(|answer| answer.value.len())
    }
}

#[tokio::test]
async fn what_is_done_in_time_is_nobody_else_s() {
    let shared = Server::shared().await;
    let session = patient(&shared, 5).await;
    two_accounts(&session, shared.ledger()).await;
    let done = within_deadline(&session, work(&session, 0, shared.ledger(), 10), |_| panic!("it is not late")).await;
    assert_eq!(done, Ok(Ok(0)));
    assert_eq!(session.status().timed_out, 0);
}

#[tokio::test]
async fn what_comes_too_late_goes_on() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    two_accounts(&session, shared.ledger()).await;
    let (late, wait) = oneshot::channel();
    let work = work(&session, 200, shared.ledger(), 10);
    let timed_out = within_deadline(&session, work, |output| late.send(output).expect("somebody waits")).await;
    assert_eq!(timed_out, Err(TimedOut));
    assert_eq!(TimedOut.to_string(), "TigerBeetle gave no answer within the deadline");
    assert_eq!(within(5, wait).await, Ok(Ok(0)));
    assert_eq!(session.lookup_transfers(vec![id(shared.ledger(), 10)]).await.unwrap().value.len(), 1);
    assert_eq!(session.status().timed_out, 1);
}

/// Also without a poll, and on a thread that knows no runtime.
#[tokio::test]
async fn what_is_dropped_goes_on() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    two_accounts(&session, shared.ledger()).await;
    let (late, wait) = oneshot::channel();
    let work = work(&session, 0, shared.ledger(), 10);
    let unpolled = within_deadline(&session, work, |output| late.send(output).expect("somebody waits"));
    std::thread::spawn(move || drop(unpolled)).join().expect("no panic");
    assert_eq!(within(5, wait).await, Ok(Ok(0)));
    assert_eq!(session.status().timed_out, 0, "nobody waited");
}

/// A host may drop what it holds after its runtime: what was to be sent is sent.
#[tokio::test]
async fn what_is_dropped_after_its_runtime_is_sent() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    two_accounts(&session, shared.ledger()).await;
    let (addresses, ledger) = (shared.addresses().to_vec(), shared.ledger());
    let dropped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let session = runtime.block_on(connect(&addresses));
        // One is sent at once, and the others with its answer.
        let unpolled = [10, 11, 12].map(|number| {
            let asking = Arc::clone(&session);
            let work = async move { asking.create_transfers(vec![transfer(ledger, number)]).await };
            within_deadline(&session, work, |_| ())
        });
        drop(runtime);
        drop(unpolled);
        until(|| session.status().in_flight == 0);
    });
    tokio::task::spawn_blocking(move || dropped.join().expect("no panic")).await.expect("no panic");
    let ids = [10, 11, 12].map(|number| id(ledger, number));
    assert_eq!(session.lookup_transfers(ids.to_vec()).await.unwrap().value.len(), 3);
}

/// Without a runtime.
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it never is");
}

#[tokio::test]
async fn work_that_panics_is_not_run_again() {
    let shared = Server::shared().await;
    let session = connect(shared.addresses()).await;
    let panicking = async {
        sleep_ms(1).await;
        panic!("by the work")
    };
    let failed = tokio::spawn(within_deadline(&session, panicking, |()| unreachable!("there is no output"))).await;
    assert!(failed.expect_err("it panicked").is_panic());
}

#[tokio::test]
async fn an_answer_in_between_says_that_the_cluster_is_there() {
    let shared = Server::shared().await;
    let session = patient(&shared, 5).await;
    let slow = {
        let session = Arc::clone(&session);
        async move {
            session.lookup_accounts(vec![1]).await.map(drop)?;
            sleep_ms(6_000).await;
            Ok::<_, SessionError>(())
        }
    };
    assert_eq!(within_deadline(&session, slow, |_| ()).await, Err(TimedOut));
    assert!(!session.is_away());
}

#[tokio::test]
async fn silence_until_the_deadline_means_away() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    server.stop().await;
    let asked = within_deadline(&session, session.lookup_accounts(vec![1]), |_| ()).await;
    assert_eq!(asked.err(), Some(TimedOut));
    assert!(session.is_away());
    let refused = session.lookup_accounts(vec![1]).await.expect_err("it is away").to_string();
    assert!(refused.starts_with("TigerBeetle is away: no answer within the deadline; away for "), "{refused}");
    server.cont().await;
    within(5, async {
        while session.is_away() {
            sleep_ms(1).await
        }
    })
    .await; // The late answer says so.
    assert!(session.lookup_accounts(vec![1]).await.is_ok());
}
