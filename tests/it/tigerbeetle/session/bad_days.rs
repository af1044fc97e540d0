//! A server that dies, stops, or turns its clients away, under load: every call ends in time, no slot is lost, and
//! answers are back within two seconds after the server is.

use std::time::Duration;

use tigerbeetle_unofficial::Client;
use tollgate::backends::Health;
use tollgate::backends::tigerbeetle::{Session, SessionError};
use tollgate::clock::Clock;
use tollgate::config::TigerBeetleSettings;

use super::traffic::{Ending, Traffic};
use super::{Ticking, connect, stranger, two_accounts, until_idle};
use crate::support::tigerbeetle::{Cluster, Server};
use crate::support::{sleep_ms, until, within};

const RECOVERY_MAX: Duration = Duration::from_secs(2);
const ELECTION_MAX: Duration = Duration::from_secs(5);
const CALLERS: usize = 64;
const LEDGER: u32 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_back_after_the_server_was_killed_and_restarted() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    let _ticking = Ticking::of(&session);
    two_accounts(&session, LEDGER).await;
    let mut timed_out_before = 0;
    for outage_seconds in [1, 5, 12] {
        let traffic = Traffic::start(&session, LEDGER, CALLERS);
        sleep_ms(500).await;
        server.kill().await;
        sleep_ms(outage_seconds * 1_000 / 2).await;
        let told = "TigerBeetle is away: nobody listens at its addresses; away for ";
        let is_told = || matches!(session.health(), Health::Down(why) if why.starts_with(told));
        until(5, "it says why", async || session.is_away() && is_told()).await;
        sleep_ms(outage_seconds * 1_000 / 2).await;
        server.recover().await;
        let back = traffic.now();
        sleep_ms(3_000).await;
        let history = traffic.finish(&session, timed_out_before).await;
        timed_out_before = session.status().timed_out;
        let recovery = history.recovery_after(back);
        println!("killed for {outage_seconds} s: answers after {recovery:?}");
        let is_in_time = recovery.is_some_and(|recovery| recovery <= RECOVERY_MAX);
        assert!(is_in_time, "answers {recovery:?} after an outage of {outage_seconds} s; {}", server.log());
        assert!(0 < history.count(Ending::TimedOut) && 0 < history.count(Ending::Away));
        until(5, "it is up", async || session.health() == Health::Up).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_back_after_the_server_was_stopped() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    let _ticking = Ticking::of(&session);
    two_accounts(&session, LEDGER).await;
    let traffic = Traffic::start(&session, LEDGER, CALLERS);
    sleep_ms(500).await;
    server.stop().await;
    sleep_ms(9_000).await;
    assert!(session.is_away());
    sleep_ms(1_000).await;
    let back = traffic.now();
    server.cont().await;
    sleep_ms(3_000).await;
    let history = traffic.finish(&session, 0).await;
    let recovery = history.recovery_after(back);
    println!("stopped for 10 s: answers after {recovery:?}");
    assert!(recovery.is_some_and(|recovery| recovery <= RECOVERY_MAX), "{recovery:?}");
    assert!(0 < history.count(Ending::TimedOut) && 0 < history.count(Ending::Away));
}

/// The others elect another one. The session's part is to let nobody wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_back_after_the_primary_was_killed() {
    let cluster = Cluster::start(3).await;
    let session = connect(cluster.addresses()).await;
    let _ticking = Ticking::of(&session);
    two_accounts(&session, LEDGER).await;
    let traffic = Traffic::start(&session, LEDGER, CALLERS);
    sleep_ms(500).await;
    cluster.primary().kill().await;
    let killed = traffic.now();
    sleep_ms(6_000).await;
    let recovery = traffic.finish(&session, 0).await.recovery_after(killed);
    println!("the primary was killed: answers after {recovery:?}");
    assert!(recovery.is_some_and(|recovery| recovery <= ELECTION_MAX), "{recovery:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_back_after_an_eviction() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    two_accounts(&session, LEDGER).await;
    // The session that is idle for longest has to go: nobody ticks.
    for _ in 0..16 {
        let addresses = server.addresses();
        tokio::join!(stranger(addresses), stranger(addresses), stranger(addresses), stranger(addresses));
    }
    let traffic = Traffic::start(&session, LEDGER, CALLERS);
    let evicted = traffic.now();
    let _ticking = Ticking::of(&session);
    sleep_ms(3_000).await;
    let history = traffic.finish(&session, 0).await;
    let recovery = history.recovery_after(evicted);
    println!("evicted: answers after {recovery:?}");
    assert!(recovery.is_some_and(|recovery| recovery <= RECOVERY_MAX), "{recovery:?}");
    // Where the machine stood still meanwhile, their deadline passes first.
    assert!(0 < history.count(Ending::Lost) + history.count(Ending::TimedOut), "the first calls learn it");
    assert_eq!(session.status().rebuilt, 1);
}

/// Whoever ticks asks something once a second, and is never the one that is idle for longest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_use_is_not_evicted() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    let _ticking = Ticking::of(&session);
    for _ in 0..22 {
        let addresses = server.addresses();
        tokio::join!(stranger(addresses), stranger(addresses), stranger(addresses));
    }
    two_accounts(&session, LEDGER).await;
    assert_eq!(session.status().rebuilt, 0);
}

/// A server that restarts takes eight clients, whoever comes first: the session may have to wait until others go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_back_after_others_took_every_connection() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    let _ticking = Ticking::of(&session);
    two_accounts(&session, LEDGER).await;
    let mut strangers = Vec::new();
    for _ in 0..7 {
        strangers.push(stranger(server.addresses()).await);
    }
    // These wait already; most often one of them is faster than the session.
    let more = || Client::new(0, server.address().to_string()).expect("a client");
    strangers.extend(std::iter::repeat_with(more).take(16));
    let traffic = Traffic::start(&session, LEDGER, CALLERS);
    sleep_ms(500).await;
    server.recover().await;
    sleep_ms(3_000).await;
    // Since it was killed, and not for a moment in which the machine is busy.
    let is_out = session.status().away_since_ms.is_some_and(|away_ms| 2_500 <= away_ms);
    let full = traffic.now();
    sleep_ms(1_000).await;
    println!("the session is {}", if is_out { "out" } else { "in" });
    let going = traffic.now();
    tokio::task::spawn_blocking(move || drop(strangers)).await.expect("no panic");
    let gone = traffic.now();
    sleep_ms(3_000).await;
    let history = traffic.finish(&session, 0).await;
    let endings: Vec<_> = history.between(full, going).map(|asked| asked.ending).collect();
    if is_out {
        assert!(endings.iter().all(|ending| *ending == Ending::Away), "nobody waits, and nobody is let in");
    } else {
        assert!(endings.contains(&Ending::Answered), "it has its connection");
    }
    assert!(CALLERS <= endings.len(), "{} calls in a second", endings.len());
    let recovery = history.recovery_after(gone);
    println!("the others went: answers after {recovery:?}");
    assert!(recovery.is_some_and(|recovery| recovery <= RECOVERY_MAX), "{recovery:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_belongs_to_its_packet() {
    let server = Server::start().await;
    let settings = TigerBeetleSettings { in_flight_max: 2, ..super::settings(server.addresses()) };
    let session = Session::connect(&settings, Clock::start()).await.unwrap();
    server.stop().await;
    let asked = [session.lookup_accounts(vec![1]), session.lookup_accounts(vec![1])];
    assert_eq!(session.lookup_accounts(vec![1]).await.err(), Some(SessionError::Overloaded));
    assert_eq!(session.status().in_flight, 2);
    drop(asked);
    let more = session.lookup_accounts(vec![1]).await.err();
    assert_eq!(more, Some(SessionError::Overloaded), "they are still on their way");
    server.cont().await;
    until_idle(&session).await;
    assert!(session.lookup_accounts(vec![1]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_every_call() {
    let server = Server::start().await;
    let session = connect(server.addresses()).await;
    server.stop().await;
    let asked = session.lookup_accounts(vec![1]);
    session.close();
    let lost = within(5, asked).await;
    assert!(matches!(lost, Err(SessionError::Lost(_))), "{lost:?}");
    let refused = session.lookup_accounts(vec![1]).await;
    assert!(
        matches!(&refused, Err(SessionError::Away(why)) if why.starts_with("the session was closed")),
        "{refused:?}"
    );
    session.tick();
    session.close();
    assert_eq!(session.status().in_flight, 0);
}
