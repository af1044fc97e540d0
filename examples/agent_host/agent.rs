//! The agents: each makes one call after the other until the time is over.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::client::Failure;
use super::clock::Clock;
use super::scenario::{Scenario, Work};

/// Makes the calls of agents, as often as it takes or until it gives up.
pub(crate) trait Host: Send + Sync + 'static {
    /// Makes one call.
    fn make(&self, work: &Work) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What the agents have come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    pub(crate) done: u64,
    pub(crate) given_up: u64,
}

/// Lets all agents work; returns when the last one is done.
pub(crate) async fn work(scenario: &Scenario, clock: Clock, host: &Arc<impl Host>) -> Made {
    let mut agents = JoinSet::new();
    for agent in 0..scenario.agents {
        let (scenario, host) = (scenario.clone(), Arc::clone(host));
        agents.spawn(async move {
            let mut made = Made::default();
            for number in 0.. {
                if scenario.calls_until <= clock.now() {
                    break;
                }
                match host.make(&scenario.work(agent, number)).await {
                    Ok(()) => made.done += 1,
                    Err(_) => made.given_up += 1,
                }
            }
            made
        });
    }
    let add = |all: Made, made: Made| Made { done: all.done + made.done, given_up: all.given_up + made.given_up };
    agents.join_all().await.into_iter().fold(Made::default(), add)
}
