//! A host whose limits are kept by a server. Start one with `cargo run -- serve`, then run this with
//! `cargo run --features http-client --example remote_host`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tollgate::client::{Completion, LlmCall, PromptBytes, connect, llm_actuals, llm_requirements, reserve_until};
use tollgate::config::{Config, Environment};
use tollgate::policy::{CallReport, Complete, Outcome, Reserve};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/remote-host.toml");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (config, _) = Config::load(Some(Path::new(CONFIG)), &Environment::from_process())?;
    let client = connect(&config.client).await?;
    let limiter = client.limiter();

    let max_output_tokens = config.client.max_output_tokens;
    let prompt = "Why is the sky blue?";
    let call = LlmCall { provider: "openai", model: "gpt-4o", tenant: Some("acme"), prompt, max_output_tokens };
    let requirements = llm_requirements(&call, &PromptBytes)?;
    for number in 1..=3 {
        // Whatever is denied is asked for again when it says; what is unknown, under the same id.
        let grant = reserve_until(&limiter, Reserve::new(requirements.clone()), in_seconds(10)).await?;

        let used = ask_provider(prompt).await;

        let request = Complete { lease_id: grant.lease_id, actuals: llm_actuals(&call, used)? };
        limiter.complete(Completion { request, report: Some(CallReport::new(Outcome::success())) }).await?;
        println!("call {number}: {used} tokens used, under the lease {}", grant.lease_id);
    }
    client.shutdown().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a host reads its own clock")]
fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Stands for the provider; a host would send its HTTP request here. Answers with the tokens that it took.
async fn ask_provider(prompt: &str) -> u64 {
    tokio::time::sleep(Duration::from_millis(20)).await;
    prompt.len() as u64 + 100
}
