//! How long a waiting call takes to be woken once there is room for it: after the completion of the lease that held the
//! room, and after the expiry of what took it.

mod support;

use std::time::Duration;

use support::{Options, Row, concurrency, heading, now, quantile, rolling};
use tollgate::Tollgate;
use tollgate::actors::Wait;
use tollgate::policy::{Amounts, Reserve};

const KEY: &str = "global:llm:openai:gpt-4o:concurrency";
const WINDOW: &str = "global:llm:openai:gpt-4o:rpm";
/// How long a call waits before there is room: longer than it takes to stand in line.
const PAUSE: Duration = Duration::from_millis(2);

fn request(key: &str) -> Reserve {
    Reserve::of([(key, 1)]).expect("a good request")
}

/// Microseconds from just before the completion to the waiting task having its lease.
async fn after_completion(tollgate: &Tollgate, rounds: usize) -> Vec<f64> {
    let mut measured = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let lease = tollgate.reserve(request(KEY)).await.expect("room for one");
        let waiting = tollgate.clone();
        let waiter = tokio::spawn(async move {
            let lease = waiting.acquire(request(KEY), Wait::at_most(Duration::from_secs(5))).await.expect("its turn");
            (now(), lease)
        });
        tokio::time::sleep(PAUSE).await;
        assert_eq!(tollgate.waiting(), 1, "it stands in line");
        let freed = now();
        lease.complete(Amounts::default()).await.expect("a live lease");
        let (granted, lease) = waiter.await.expect("a waiter");
        measured.push(granted.duration_since(freed).as_nanos() as f64 / 1e3);
        drop(lease);
    }
    measured
}

/// Microseconds from the end of the window, as the refusal foretold it, to the waiting task having its lease.
async fn after_expiry(tollgate: &Tollgate, rounds: usize) -> Vec<f64> {
    let mut measured = Vec::with_capacity(rounds);
    let _ = tollgate.reserve(request(WINDOW)).await.expect("room for one").detach();
    for _ in 0..rounds {
        let asked = now();
        let refusal = tollgate.reserve(request(WINDOW)).await.expect_err("no room");
        let acquired = tollgate.acquire(request(WINDOW), Wait::at_most(Duration::from_secs(5))).await;
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
    let completion = after_completion(&tollgate, options.or_quick(2_000, 10)).await;
    let expiry = after_expiry(&tollgate, options.or_quick(20, 2)).await;
    let row = |name, part, measured: &[f64], wanted| {
        let ours = quantile(measured.to_vec(), part);
        Row { name, unit: "µs", ours, comparator: None, wanted }.print(options);
    };
    row("after a completion, p50", 0.5, &completion, "");
    row("after a completion, p99", 0.99, &completion, "≤ 1000");
    row("after an expiry (timers tick in milliseconds), p50", 0.5, &expiry, "");
    row("after an expiry (timers tick in milliseconds), longest", 1.0, &expiry, "");
    tollgate.shutdown().await;
}
