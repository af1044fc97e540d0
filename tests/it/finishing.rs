//! Reservations through a circuit breaker, and what the end of a call tells the breaker and the limits.

mod breaker;
mod crowd;
mod signals;

use std::time::Duration;

use tollgate::policy::{
    BreakerFields, BreakerName, BreakerSettings, BreakerState, CallReport, Fault, Outcome, Reserve,
};
use tollgate::{Lease, Tollgate};

use crate::support::{bucket, concurrency, request, rolling};

fn name(text: &str) -> BreakerName {
    BreakerName::parse(text).expect("a good name")
}

/// A call over `slot` (1) and `tokens` (of 100) through the breaker `upstream`.
fn call() -> Reserve {
    request(&[("slot", 1), ("tokens", 10)]).through(name("upstream"))
}

/// A Tollgate whose breaker `upstream` stays open for a minute, without jitter.
async fn start() -> Tollgate {
    let fields = BreakerFields { jitter_percent: Some(0), ..BreakerFields::default() };
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    let builder = Tollgate::builder().breaker(name("upstream"), settings);
    let limits = [concurrency("slot", 1, 600), rolling("tokens", 100, 60), bucket("other", 10, 1, 1)];
    let builder = limits.into_iter().fold(builder, |builder, limit| builder.limit_fields(limit));
    builder.start().await.expect("it starts")
}

fn failed() -> CallReport {
    CallReport::new(Outcome::failed(Fault::Timeout))
}

fn state(tollgate: &Tollgate) -> BreakerState {
    tollgate.find_breaker(&name("upstream")).expect("it is known").view().state
}

async fn reserve(tollgate: &Tollgate) -> Lease {
    tollgate.reserve(call()).await.expect("it is granted")
}

/// Lets calls fail until the breaker is open; they charge nothing.
async fn fail_until_open(tollgate: &Tollgate) {
    for _ in 0..5 {
        let lease = reserve(tollgate).await;
        lease.finish(crate::support::used(&[("tokens", 0)]), &failed()).await.expect("it ends");
    }
    assert_eq!(state(tollgate), BreakerState::Open);
}

async fn available(tollgate: &Tollgate, key: &str) -> u64 {
    let usage = tollgate.usage(&crate::support::key(key)).await.expect("it answers").expect("a limit");
    usage.usage.available
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
