//! Signals to stop: whoever has sent a request gets an answer, and the process ends in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;

use super::CONFIG;
use crate::support::client::{acquire, reserve};
use crate::support::server::{Home, Server};
use crate::support::wire::Wire;
use crate::support::{sleep_ms, until, within};

const CALLERS: usize = 24;

/// What the callers saw.
#[derive(Debug, Default)]
struct Seen {
    answered: AtomicU64,
    /// Requests without an answer that were with the server before it was told to stop.
    lost: AtomicU64,
    is_stopped: AtomicBool,
}

/// Sends one request after the other until the server is gone, each on a connection of its own or all on one.
async fn call_until_it_is_gone(address: std::net::SocketAddr, seen: Arc<Seen>, keeps_alive: bool) {
    let mut kept = None;
    loop {
        let wire = match kept.take().filter(|_| keeps_alive) {
            Some(wire) => Ok(wire),
            None => Wire::connect(address).await,
        };
        let Ok(mut wire) = wire else { return };
        let is_sent = wire.send("/v1/reserve", &reserve("rpm", 1)).await.is_ok();
        let is_early = !seen.is_stopped.load(Ordering::SeqCst);
        match wire.answer().await {
            Ok((status, answer)) => {
                assert_eq!(status, 200, "{answer}");
                seen.answered.fetch_add(1, Ordering::SeqCst);
                kept = Some(wire);
            }
            Err(_) if is_sent && is_early => drop(seen.lost.fetch_add(1, Ordering::SeqCst)),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_was_sent_before_the_signal_is_answered() {
    for round in 0..8 {
        let home = Home::new(CONFIG);
        let server = home.start().await;
        let seen = Arc::<Seen>::default();
        let call = |caller: usize| {
            tokio::spawn(call_until_it_is_gone(server.address, Arc::clone(&seen), caller.is_multiple_of(2)))
        };
        let callers: Vec<_> = (0..CALLERS).map(call).collect();
        let answered = || seen.answered.load(Ordering::SeqCst);
        until(20, "they are answered", async || CALLERS as u64 <= answered()).await;
        // The moment is what differs from round to round: nothing is waited for.
        sleep_ms(30 + 7 * round).await;
        seen.is_stopped.store(true, Ordering::SeqCst);
        let ended = server.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        within(20, join_all(callers)).await.into_iter().for_each(|caller| caller.expect("no panic"));
        let (answered, lost) = (answered(), seen.lost.load(Ordering::SeqCst));
        assert_eq!(lost, 0, "round {round}: {lost} requests had no answer, and {answered} had");
    }
}

/// A server whose one slot is taken.
async fn occupied(home: &Home) -> Server {
    let server = home.start().await;
    let answer = server.client().ask("POST", "/v1/reserve", &reserve("slot", 1)).await.1;
    assert_eq!(answer["allowed"], true, "{answer}");
    server
}

#[tokio::test]
async fn whoever_waits_is_told_to_come_again_whichever_the_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new(CONFIG);
        let server = occupied(&home).await;
        let mut waiting = Vec::new();
        for _ in 0..CALLERS {
            let mut wire = Wire::connect(server.address).await.expect("it listens");
            wire.send("/v1/acquire", &acquire("slot", 1, 60_000)).await.expect("it is sent");
            waiting.push(wire);
        }
        let client = server.client();
        within(20, async {
            while client.read("/v1/status").await["waiters"] != CALLERS {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        server.signal(signal);
        for wire in &mut waiting {
            let (status, answer) = within(5, wire.answer()).await.expect("an answer");
            assert_eq!((status, answer["allowed"].as_bool()), (200, Some(false)), "{answer}");
            assert_eq!(answer["error"], "overloaded");
            assert!(answer["retry_after_ms"].as_u64().is_some_and(|ms| 1 <= ms), "{answer}");
        }
        let ended = within(5, server.ended()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_request_that_is_still_being_sent_may_be_finished() {
    let home = Home::new(CONFIG);
    let server = home.start().await;
    let mut wire = Wire::connect(server.address).await.expect("it listens");
    let rest = wire.send_half("/v1/reserve", &reserve("rpm", 1)).await.expect("it is sent");
    until_half_read(&server).await;
    server.signal(Signal::TERM);
    server.logged("stopping").await;
    wire.send_rest(&rest).await.expect("it is sent");
    assert_eq!(wire.answer().await.expect("an answer").1["allowed"], true);
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_after_the_grace() {
    let home = Home::new(&CONFIG.replace("5000", "200"));
    let server = home.start().await;
    let mut wire = Wire::connect(server.address).await.expect("it listens");
    wire.send_half("/v1/reserve", &reserve("rpm", 1)).await.expect("it is sent");
    until_half_read(&server).await;
    let ended = within(5, server.stop()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("requests did not end in time"), "{}", ended.stderr);
    assert!(wire.answer().await.is_err());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let home = Home::new(&CONFIG.replace("5000", "600_000"));
    let server = home.start().await;
    let mut wire = Wire::connect(server.address).await.expect("it listens");
    wire.send_half("/v1/reserve", &reserve("rpm", 1)).await.expect("it is sent");
    until_half_read(&server).await;
    server.signal(Signal::TERM);
    server.logged("stopping").await;
    server.signal(Signal::INT);
    let ended = within(5, server.ended()).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told = "error: stopped by a second signal before all was drained";
    assert!(ended.stderr.lines().any(|line| line == told), "{}", ended.stderr);
}

/// Waits until the server has begun with what another connection sent before.
async fn until_half_read(server: &Server) {
    // It takes connections in their order, and reads each at once.
    assert_eq!(server.client().get("/healthz").await.0, 200);
}
