//! Circuit breakers through the handle and by message: who is let through, who is not, and what outlives what.

mod actor;
mod handle;
mod issued;
mod storm;
mod table;

use std::time::Duration;

use tollgate::policy::{BreakerFields, BreakerName, BreakerSettings, Cause, Transition};
use tollgate::{Breaker, Tollgate};

fn name(text: &str) -> BreakerName {
    BreakerName::parse(text).expect("a good name")
}

fn settings(fields: BreakerFields) -> BreakerSettings {
    fields.check(&BreakerSettings::default()).expect("good settings")
}

/// Without jitter, so that its open time is known: a minute at first.
fn steady() -> BreakerFields {
    BreakerFields { jitter_percent: Some(0), ..BreakerFields::default() }
}

/// A Tollgate with one breaker, `upstream`.
async fn start(fields: BreakerFields) -> (Tollgate, Breaker) {
    let tollgate = Tollgate::builder().breaker(name("upstream"), settings(fields)).start().await.expect("it starts");
    let breaker = tollgate.find_breaker(&name("upstream")).expect("it is there from the start");
    (tollgate, breaker)
}

fn fail(breaker: &Breaker, times: u32) {
    for _ in 0..times {
        breaker.try_enter().expect("it lets calls through").failure();
    }
}

fn causes(transitions: &mut tokio::sync::broadcast::Receiver<Transition>) -> Vec<Cause> {
    std::iter::from_fn(|| transitions.try_recv().ok()).map(|transition| transition.cause).collect()
}

const OPEN_TIME: Duration = Duration::from_secs(60);
