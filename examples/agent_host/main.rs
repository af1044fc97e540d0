//! 200 agents share one provider, first without Tollgate, then with it. The provider is a real HTTP server in this
//! process, with limits, errors and headers such as Anthropic's, an outage, an overload, and streams that break off.
//! Run with `cargo run --release --example agent_host`. It fails if the run with Tollgate does not show what
//! `checks.rs` wants of it.

mod agent;
mod checks;
mod client;
mod clock;
mod guarded;
mod limits;
mod naive;
mod provider;
mod report;
mod run;
mod scenario;

use std::process::ExitCode;

use clap::Parser;
use scenario::Scenario;

#[derive(Debug, Parser)]
struct Options {
    /// How long agents begin calls, in each of the two runs. A minute of the provider lasts a quarter of it. In a short
    /// run what is checked would drown in what the machine does.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(20..=3_600))]
    seconds: u32,
    /// How many agents there are. The limits grow with them.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(50..=2_000))]
    agents: u32,
    /// What calls need and how the provider answers follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Options { seconds, agents, seed } = Options::parse();
    let scenario = Scenario::new(f64::from(seconds), agents, seed);
    println!("{scenario}\n");
    let without = run::without_tollgate(&scenario).await;
    let with = run::with_tollgate(&scenario).await;
    print!("{}", report::table(&without, &with));
    let problems = [checks::always(&with), checks::in_time(&with)].concat();
    for problem in &problems {
        println!("\nWRONG with Tollgate: {problem}");
    }
    ExitCode::from(u8::from(!problems.is_empty()))
}
