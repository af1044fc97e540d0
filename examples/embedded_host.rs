//! A host that keeps its limits in its own process, by its own configuration: 20 calls, of which 2 may run at once.
//! Run with `cargo run --example embedded_host`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tollgate::Wait;
use tollgate::client::{Completion, Limiter, LlmCall, PromptBytes, connect, llm_actuals, llm_requirements};
use tollgate::config::{Config, Environment};
use tollgate::policy::{Amounts, CallReport, Complete, Outcome, Reserve};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/embedded-host.toml");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (config, _) = Config::load(Some(Path::new(CONFIG)), &Environment::from_process())?;
    let client = connect(&config.client).await?;
    let prompt = "Why is the sky blue?";
    let max_output_tokens = config.client.max_output_tokens;
    let call = LlmCall { provider: "openai", model: "gpt-4o", tenant: Some("acme"), prompt, max_output_tokens };
    let requirements = llm_requirements(&call, &PromptBytes)?;

    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        calls.spawn(one_call(client.limiter(), requirements.clone(), llm_actuals(&call, 120)?));
    }
    calls.join_all().await;
    if let Some(tollgate) = client.tollgate() {
        for limit in tollgate.usages(0, 10).await?.0 {
            println!("{:<36} {:>9} of {:>9} available", limit.usage.key, limit.usage.available, limit.usage.capacity);
        }
    }
    client.shutdown().await;
    Ok(())
}

/// Waits for its turn, calls the provider, and says what was used.
async fn one_call(limiter: Arc<dyn Limiter>, requirements: Amounts, used: Amounts) {
    let wait = Wait::at_most(Duration::from_secs(30));
    let grant = limiter.acquire(Reserve::new(requirements).into(), wait).await.expect("there is room in time");
    tokio::time::sleep(Duration::from_millis(20)).await; // Here a host would send its request to the provider.
    let request = Complete { lease_id: grant.lease_id, actuals: used };
    let report = Some(CallReport::new(Outcome::success()));
    limiter.complete(Completion { request, report }).await.expect("it is held");
}
