//! Steps about guarded calls.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cucumber::{given, then, when};
use tokio::task::JoinHandle;
use tollgate::config::Settings;
use tollgate::policy::{Preset, UsdMicros};
use tollgate::{CallContext, CallError, CallSpec, Tollgate};

use super::{Host, settle};

type Answer = Result<(), CallError<()>>;

/// The guarded calls of a scenario.
#[derive(Debug, Default)]
pub(crate) struct GuardedCalls {
    made: HashMap<String, JoinHandle<Answer>>,
    run: Arc<AtomicU32>,
}

async fn with_preset(host: &mut Host, per_minute: Option<NonZeroU64>, budget: Option<UsdMicros>) {
    let preset = Preset::new(per_minute, None, budget).expect("a good preset");
    let settings = Settings { preset: Some(preset), ..Settings::default() };
    host.tollgate = Tollgate::builder().settings(settings).start().await.expect("it starts");
}

/// Makes a call of its own task, and lets it do what it can do now.
async fn make(host: &mut Host, name: String, spec: CallSpec, spends_usd_micros: Option<u64>) {
    let (tollgate, run) = (host.tollgate.clone(), Arc::clone(&host.guarded.run));
    let call = async move |call: CallContext| {
        run.fetch_add(1, Ordering::Relaxed);
        if let Some(micros) = spends_usd_micros {
            call.report_cost_usd_micros(micros).expect("it runs");
        }
        Ok(())
    };
    let made = tokio::spawn(async move { tollgate.call(&spec, |context| call(context)).await });
    host.guarded.made.insert(name, made);
    settle().await;
}

async fn answer(host: &mut Host, name: &str) -> Answer {
    settle().await;
    let made = host.guarded.made.remove(name).expect("the call was made");
    assert!(made.is_finished(), "`{name}` still waits");
    made.await.expect("it did not panic")
}

#[given(expr = "a preset of {int} calls per minute")]
async fn a_preset_of_calls(host: &mut Host, calls: u64) {
    with_preset(host, NonZeroU64::new(calls), None).await;
}

#[given(expr = "a preset of {string} dollars per hour")]
async fn a_preset_of_dollars(host: &mut Host, dollars: String) {
    with_preset(host, None, Some(UsdMicros::parse(&dollars).expect("dollars"))).await;
}

#[given(expr = "{int} guarded calls are made")]
#[when(expr = "{int} guarded calls are made")]
async fn calls_are_made(host: &mut Host, calls: u32) {
    for call in 0..calls {
        make(host, format!("call {call}"), CallSpec::default(), None).await;
    }
}

#[when(expr = "{string} is made as a guarded call")]
async fn is_made(host: &mut Host, name: String) {
    make(host, name, CallSpec::default(), None).await;
}

#[when(expr = "{string} is made as a guarded call for up to {int} micro-dollars")]
async fn is_made_for(host: &mut Host, name: String, micros: u64) {
    make(host, name, CallSpec::default().cost_usd_micros(micros), None).await;
}

#[when(expr = "a guarded call for up to {int} micro-dollars spends {int}")]
async fn spends(host: &mut Host, micros: u64, spent: u64) {
    make(host, "spender".to_owned(), CallSpec::default().cost_usd_micros(micros), Some(spent)).await;
    answer(host, "spender").await.expect("it was made");
}

#[when(expr = "{string} is dropped by its caller")]
async fn is_dropped_by_its_caller(host: &mut Host, name: String) {
    let made = host.guarded.made.remove(&name).expect("the call was made");
    made.abort();
    assert!(made.await.is_err_and(|error| error.is_cancelled()));
}

#[then(expr = "{int} calls have run")]
async fn calls_have_run(host: &mut Host, calls: u32) {
    settle().await;
    assert_eq!(host.guarded.run.load(Ordering::Relaxed), calls);
}

#[then(expr = "{string} waits")]
async fn waits(host: &mut Host, name: String) {
    settle().await;
    assert!(!host.guarded.made[&name].is_finished());
}

#[then(expr = "{string} has run")]
async fn has_run(host: &mut Host, name: String) {
    answer(host, &name).await.expect("it was made");
}

#[then(expr = "{string} is refused by {string}")]
async fn is_refused_by(host: &mut Host, name: String, key: String) {
    let CallError::Refused(refusal) = answer(host, &name).await.expect_err("it was refused") else {
        panic!("`{name}` was not refused");
    };
    assert_eq!(refusal.denied.iter().map(|denied| denied.key.as_str()).collect::<Vec<_>>(), [key]);
}
