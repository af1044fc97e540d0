//! Jobs for three providers: one is slow and lets two calls in at once, and nobody else waits for it.
//! Run with `cargo run --example scheduler`.

#![expect(clippy::disallowed_methods, reason = "a host measures real time")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tollgate::Tollgate;
use tollgate::client::LocalLimiter;
use tollgate::policy::{Amounts, DefinitionFields, Key, Label, Priority, Upstream};
use tollgate::scheduler::{Execute, ExecuteError, Executed, Job, Run, Scheduler};

/// Provider, model, calls at once, milliseconds of a call.
const PROVIDERS: [(&str, &str, u64, u64); 3] =
    [("openai", "gpt-4o", 2, 400), ("anthropic", "sonnet", 8, 60), ("gemini", "flash", 16, 20)];
const JOBS: usize = 16;

fn limit(key: String, kind: &str, capacity: u64) -> DefinitionFields {
    DefinitionFields { key, kind: kind.into(), capacity, ..Default::default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = PROVIDERS.iter().fold(Tollgate::builder(), |builder, (provider, model, at_once, _)| {
        let key = |dimension| format!("global:llm:{provider}:{model}:{dimension}");
        builder
            .limit_fields(DefinitionFields {
                timeout_seconds: Some(120),
                ..limit(key("concurrency"), "concurrency", *at_once)
            })
            .limit_fields(DefinitionFields { window_seconds: Some(60), ..limit(key("tpm"), "rolling", 100_000) })
    });
    let tollgate = builder.start().await?;
    let scheduler = Scheduler::builder(Arc::new(LocalLimiter::new(tollgate.clone()))).start().await?;

    let start = tokio::time::Instant::now();
    let mut running = tokio::task::JoinSet::new();
    // The slow provider's jobs come first.
    for (provider, model, _, ms) in PROVIDERS {
        for n in 0..JOBS {
            let tenant = Label::parse(if n % 2 == 0 { "acme" } else { "globex" }).map_err(|bad| bad.to_string())?;
            let priority = if n + 1 == JOBS { Priority::High } else { Priority::Normal };
            let job = job(provider, model, ms)?.tenant(tenant).priority(priority).deadline(Duration::from_secs(30));
            let handle = scheduler.submit(job)?;
            running.spawn(async move { handle.await.map(|tokens| (provider, tokens, start.elapsed())) });
        }
    }
    let mut done = [(0, 0, Duration::ZERO); PROVIDERS.len()];
    while let Some(ended) = running.join_next().await {
        let (provider, tokens, after) = ended??;
        let at = PROVIDERS.iter().position(|(name, ..)| *name == provider).unwrap_or_default();
        done[at] = (done[at].0 + 1, done[at].1 + tokens, after);
    }
    for ((provider, ..), (jobs, tokens, last)) in PROVIDERS.iter().zip(done) {
        println!("{provider:<10} {jobs} jobs, {tokens:>6} tokens, the last after {:>4} ms", last.as_millis());
    }
    let report = scheduler.shutdown(Duration::from_secs(5)).await;
    println!("{} jobs left", report.finished.len() + report.dropped.len());
    tollgate.shutdown().await;
    Ok(())
}

/// A job that reserves the most its call may use, and states what it did use.
fn job(provider: &str, model: &str, ms: u64) -> Result<Job<impl Execute<Answer = u64> + use<>>, Box<dyn Error>> {
    let key = |dimension| Key::parse(&format!("global:llm:{provider}:{model}:{dimension}"));
    let tokens = key("tpm").map_err(|bad| bad.to_string())?;
    let at_once = key("concurrency").map_err(|bad| bad.to_string())?;
    let needs = Amounts::to_reserve([(tokens.clone(), 2_000), (at_once, 1)]).map_err(|bad| format!("{bad:?}"))?;
    let call = move |_: Run| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await; // A host would send its HTTP request here.
        let used = 100 + ms;
        let actuals = Amounts::used([(tokens, used)])
            .map_err(|_| ExecuteError::never_ran("more keys than a request may name"))?;
        Ok::<_, ExecuteError>(Executed::new(used).used(actuals))
    };
    Ok(Job::new(Upstream::parse(provider, model)?, needs, call))
}
