//! How long a waiting call takes to be woken once there is room for it: after the completion of the lease that held the
//! room, against a task that is woken by a channel, and after the expiry of what took it.

#![expect(clippy::disallowed_types, reason = "benchmarks measure real time")]

mod support;

use std::time::Duration;

use support::{Instant, Options, Row, concurrency, heading, now, quantile, rolling};
use tokio::sync::oneshot;
use tollgate::Tollgate;
use tollgate::actors::Wait;
use tollgate::policy::{Amounts, Reserve};

const KEY: &str = "global:llm:openai:gpt-4o:concurrency";
const WINDOW: &str = "global:llm:openai:gpt-4o:rpm";
/// How long a call waits before there is room, so that its thread has gone to sleep.
const PAUSE: Duration = Duration::from_millis(2);
const CHANNEL: &str = "tokio oneshot";

fn request(key: &str) -> Reserve {
    Reserve::of([(key, 1)]).expect("a good request")
}

fn micros(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_nanos() as f64 / 1e3
}

/// From just before the completion to the waiting task having its lease.
async fn after_completion(tollgate: &Tollgate) -> f64 {
    let lease = tollgate.reserve(request(KEY)).await.expect("room for one");
    let waiting = tollgate.clone();
    let waiter = tokio::spawn(async move {
        let lease = waiting.acquire(request(KEY), Wait::at_most(Duration::from_secs(60))).await.expect("its turn");
        (now(), lease)
    });
    while tollgate.waiting() == 0 {
        tokio::time::sleep(PAUSE).await;
    }
    let freed = now();
    lease.complete(Amounts::default()).await.expect("a live lease");
    let (granted, lease) = waiter.await.expect("a waiter");
    drop(lease);
    micros(freed, granted)
}

/// From just before the message to the waiting task having it: what the machine takes to wake anybody.
async fn after_message() -> f64 {
    let (sender, receiver) = oneshot::channel();
    let waiter = tokio::spawn(async move {
        receiver.await.expect("a message");
        now()
    });
    tokio::time::sleep(PAUSE).await;
    let sent = now();
    sender.send(()).expect("a waiter");
    micros(sent, waiter.await.expect("a waiter"))
}

/// Microseconds from the end of the window, as the refusal foretold it, to the waiting task having its lease.
async fn after_expiry(tollgate: &Tollgate, rounds: usize) -> Vec<f64> {
    let mut measured = Vec::with_capacity(rounds);
    let _ = tollgate.reserve(request(WINDOW)).await.expect("room for one").detach();
    for _ in 0..rounds {
        let asked = now();
        let refusal = tollgate.reserve(request(WINDOW)).await.expect_err("no room");
        let acquired = tollgate.acquire(request(WINDOW), Wait::at_most(Duration::from_secs(60))).await;
        let waited = now().duration_since(asked);
        measured.push(waited.saturating_sub(refusal.retry_after).as_nanos() as f64 / 1e3);
        let _ = acquired.expect("its turn").detach();
    }
    measured
}

#[tokio::main]
async fn main() {
    let options = Options::read();
    let limits = [concurrency(KEY, 1), rolling(WINDOW, 1, 1)];
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit(limit));
    let tollgate = builder.start().await.expect("a Tollgate");
    heading(options, "A waiting call is woken");
    let (mut ours, mut channel) = (Vec::new(), Vec::new());
    for _ in 0..options.or_quick(2_000, 10) {
        ours.push(after_completion(&tollgate).await);
        channel.push(after_message().await);
    }
    let expiry = after_expiry(&tollgate, options.or_quick(20, 2)).await;
    let row = |name, ours, comparator, wanted| Row { name, unit: "µs", ours, comparator, wanted }.print(options);
    for (name, part, wanted) in [("after a completion, p50", 0.5, ""), ("after a completion, p99", 0.99, "≤ 1000 µs")]
    {
        row(name, quantile(ours.clone(), part), Some((CHANNEL, quantile(channel.clone(), part))), wanted);
    }
    row("after an expiry (timers tick in milliseconds), p50", quantile(expiry.clone(), 0.5), None, "");
    row("after an expiry (timers tick in milliseconds), longest", quantile(expiry, 1.0), None, "");
    tollgate.shutdown().await;
}
