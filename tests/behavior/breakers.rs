//! Steps about circuit breakers.

use cucumber::{given, then, when};
use tollgate::policy::{BreakerFields, BreakerName};
use tollgate::{Breaker, Tollgate};

use super::{Host, settle};

/// The breaker of this name, as it is once its actor has done what it can do now.
async fn breaker(host: &Host, name: &str) -> Breaker {
    settle().await;
    host.tollgate().find_breaker(&BreakerName::parse(name).expect("a good name")).expect("it is there")
}

#[given(expr = "a circuit breaker {string}")]
async fn a_breaker(host: &mut Host, name: String) {
    // Without jitter, so that a scenario can tell its waits.
    let steady = BreakerFields { jitter_percent: Some(0), ..BreakerFields::default() };
    let settings = steady.check(&Default::default()).expect("good settings");
    let name = BreakerName::parse(&name).expect("a good name");
    host.tollgate = Tollgate::builder().breaker(name, settings).start().await.expect("it starts");
}

#[given(regex = r#"^(\d+) calls? through "(.+)" (?:have|has) failed$"#)]
#[when(regex = r#"^(\d+) calls? through "(.+)" fails?$"#)]
async fn calls_fail(host: &mut Host, calls: u32, name: String) {
    let breaker = breaker(host, &name).await;
    (0..calls).for_each(|_| breaker.try_enter().expect("it lets calls through").failure());
}

#[when(regex = r#"^(\d+) calls? through "(.+)" succeeds?$"#)]
async fn calls_succeed(host: &mut Host, calls: u32, name: String) {
    let breaker = breaker(host, &name).await;
    (0..calls).for_each(|_| breaker.try_enter().expect("it lets calls through").success());
}

#[when(expr = "{string} enters {string}")]
async fn enters(host: &mut Host, call: String, name: String) {
    let permit = breaker(host, &name).await.try_enter().expect("it lets calls through");
    host.permits.insert(call, permit);
}

#[when(expr = "{string} succeeds")]
async fn succeeds(host: &mut Host, call: String) {
    host.permits.remove(&call).expect("it was let through").success();
}

#[when(expr = "{string} gives up")]
async fn gives_up(host: &mut Host, call: String) {
    drop(host.permits.remove(&call).expect("it was let through"));
}

#[when(expr = "{string} is forced open")]
async fn is_forced_open(host: &mut Host, name: String) {
    breaker(host, &name).await.force_open().await.expect("its actor does so");
}

#[when(expr = "{string} is reset")]
async fn is_reset(host: &mut Host, name: String) {
    breaker(host, &name).await.reset().await.expect("its actor does so");
}

#[then(regex = r#"^"(.+)" is (closed|open|half_open)$"#)]
async fn is_in_state(host: &mut Host, name: String, state: String) {
    assert_eq!(breaker(host, &name).await.view().state.name(), state);
}

#[then(expr = "a call through {string} is rejected for {int} ms")]
async fn is_rejected(host: &mut Host, name: String, wait_ms: u64) {
    let refusal = breaker(host, &name).await.try_enter().expect_err("it lets nobody through");
    assert_eq!(refusal.retry_after_ms(), wait_ms);
}
