//! The two runs: the same agents, with and without Tollgate, each against a provider of its own that has the same
//! limits and the same bad times.

use std::sync::Arc;
use std::time::Duration;

use super::agent::{self, Made};
use super::client::Client;
use super::clock::Clock;
use super::guarded::{Account, Guarded};
use super::naive::Naive;
use super::provider::{Provider, Seen};
use super::scenario::Scenario;

/// How a run went.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) made: Made,
    pub(crate) seen: Seen,
    pub(crate) wall_time: Duration,
    /// The tokens that a host could use at best, up to the moment when the provider let in the last call.
    pub(crate) tokens_allowed: f64,
    /// With Tollgate.
    pub(crate) account: Option<Account>,
}

pub(crate) async fn without_tollgate(scenario: &Scenario) -> Run {
    let clock = Clock::start();
    let provider = Provider::start(scenario, clock).await;
    let host = Naive { client: Client::new(provider.address), scenario: scenario.clone() };
    let made = agent::work(scenario, clock, &Arc::new(host)).await;
    Run::new(scenario, clock, made, &provider, None)
}

pub(crate) async fn with_tollgate(scenario: &Scenario) -> Run {
    let clock = Clock::start();
    let provider = Provider::start(scenario, clock).await;
    let host = Arc::new(Guarded::start(scenario, Client::new(provider.address)).await);
    let mut changes = host.tollgate().breaker_transitions();
    let made = agent::work(scenario, clock, &host).await;
    let transitions: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    let account = host.account(&transitions).await;
    let run = Run::new(scenario, clock, made, &provider, Some(account));
    host.tollgate().shutdown().await;
    run
}

impl Run {
    fn new(scenario: &Scenario, clock: Clock, made: Made, provider: &Provider, account: Option<Account>) -> Self {
        let seen = provider.seen();
        let tokens_allowed = scenario.tokens_allowed_by(seen.last_let_in);
        Self { made, seen, wall_time: clock.now(), tokens_allowed, account }
    }

    /// The share of the allowed tokens that went to calls which the provider took in while it was up.
    pub(crate) fn share_used(&self) -> f64 {
        (self.seen.tokens_answered + self.seen.tokens_cut) as f64 / self.tokens_allowed
    }

    /// The part of it that went to whole answers.
    pub(crate) fn share_answered(&self) -> f64 {
        self.seen.tokens_answered as f64 / self.tokens_allowed
    }
}
