//! An agent host that embeds Tollgate: 40 agents share one provider limit, and none is ever turned away by it.
//! Run with `cargo run --example embed`.

use std::error::Error;
use std::time::Duration;

use tollgate::policy::{DefinitionFields, Priority, Reserve};
use tollgate::{Tollgate, Wait};

const RPM: &str = "openai:gpt-4o:rpm";
const TPM: &str = "openai:gpt-4o:tpm";
const CONCURRENCY: &str = "openai:gpt-4o:concurrency";

fn limit(key: &str, kind: &str, capacity: u64) -> DefinitionFields {
    DefinitionFields { key: key.into(), kind: kind.into(), capacity, ..Default::default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tollgate = Tollgate::builder()
        .name("agents")
        .limit_fields(DefinitionFields { window_seconds: Some(60), ..limit(RPM, "rolling", 1_000) })
        .limit_fields(DefinitionFields { window_seconds: Some(60), ..limit(TPM, "rolling", 20_000) })
        .limit_fields(DefinitionFields { timeout_seconds: Some(120), ..limit(CONCURRENCY, "concurrency", 4) })
        .start()
        .await?;

    let mut agents = tokio::task::JoinSet::new();
    for agent in 0..40_u64 {
        let tollgate = tollgate.clone();
        agents.spawn(async move { one_call(&tollgate, agent).await.map_err(|error| error.to_string()) });
    }
    let mut tokens = 0;
    while let Some(call) = agents.join_next().await {
        tokens += call??;
    }

    let (limits, _) = tollgate.usages(0, 10).await?;
    println!("40 calls done, {tokens} tokens used");
    for limit in limits {
        println!("{:<28} {:>6} of {:>6} available", limit.usage.key, limit.usage.available, limit.usage.capacity);
    }
    tollgate.shutdown().await;
    Ok(())
}

/// Reserves the most a call may use, makes it, and states what it did use.
async fn one_call(tollgate: &Tollgate, agent: u64) -> Result<u64, Box<dyn Error>> {
    let request = Reserve::of([(RPM, 1), (TPM, 2_000), (CONCURRENCY, 1)])?;
    let wait = Wait::at_most(Duration::from_secs(10)).with_priority(Priority::Normal);
    let lease = tollgate.acquire(request, wait).await?;
    let used = call_provider(agent).await;
    lease.complete_with([(TPM, used)]).await?;
    Ok(used)
}

/// Stands for the provider; a host would send its HTTP request here.
async fn call_provider(agent: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(20)).await;
    100 + agent
}
