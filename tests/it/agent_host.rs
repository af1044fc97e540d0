//! The example's two runs, made short: 40 agents against a provider with true limits, over HTTP and in real time. Only
//! what holds on a slow machine too is asked for.

#[path = "../../examples/agent_host/agent.rs"]
mod agent;
#[path = "../../examples/agent_host/checks.rs"]
mod checks;
#[path = "../../examples/agent_host/client.rs"]
mod client;
#[path = "../../examples/agent_host/clock.rs"]
mod clock;
#[path = "../../examples/agent_host/guarded.rs"]
mod guarded;
#[path = "../../examples/agent_host/limits.rs"]
mod limits;
#[path = "../../examples/agent_host/naive.rs"]
mod naive;
#[path = "../../examples/agent_host/provider/mod.rs"]
mod provider;
#[path = "../../examples/agent_host/report.rs"]
mod report;
#[path = "../../examples/agent_host/run.rs"]
mod run;
#[path = "../../examples/agent_host/scenario.rs"]
mod scenario;

use std::time::Duration;

use crate::support::within;
use scenario::Scenario;

const SECONDS: f64 = 5.0;
const AGENTS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_with_tollgate_never_meet_a_limit_and_pass_an_outage_by() {
    // What is cut off half way is counted differently on the two sides: only the provider cuts here.
    let scenario = Scenario { deadline: Duration::from_secs(30), ..Scenario::new(SECONDS, AGENTS, 1) };
    let runs = async { tokio::join!(run::without_tollgate(&scenario), run::with_tollgate(&scenario)) };
    let (without, with) = within(120, runs).await;
    let (table, remarks) = (report::table(&without, &with), checks::in_time(&with));
    let problems = checks::always(&with);
    assert!(problems.is_empty(), "{problems:#?}\n{scenario}\n{table}\nby the way: {remarks:#?}\n{with:#?}");
    assert!(without.seen.refused() != 0, "the limits are true ones: without Tollgate agents run into them\n{table}");
}
