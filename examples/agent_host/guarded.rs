//! A host with Tollgate: each call waits for its turn, reports what it uses as that becomes known, and tells how it
//! ended.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::sleep;
use tollgate::config::Settings;
use tollgate::policy::{Backoff, BreakerState, Cause, Fault, Provider, Reason, Transition};
use tollgate::{Breaker, CallContext, CallError, CallSpec, RetryPolicy, Tollgate};

use super::agent::Host;
use super::client::{Client, Failure, Observed};
use super::limits::{self, AT_ONCE, DAY, REQUESTS, TOKENS};
use super::scenario::{Scenario, Work};

pub(crate) struct Guarded {
    client: Client,
    scenario: Scenario,
    tollgate: Tollgate,
    breaker: Breaker,
    probes: Probes,
}

/// The calls that the breaker let through to see how they fare, by the generation in which it was half open.
type Probes = Mutex<BTreeMap<u64, ProbeCount>>;

#[derive(Clone, Copy, Debug, Default)]
struct ProbeCount {
    all: u64,
    out: u64,
    out_max: u64,
}

/// What Tollgate says of a run.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// What the completed calls have used, by its books.
    pub(crate) tokens_completed: u64,
    pub(crate) opened: u64,
    /// How often enough probes went well.
    pub(crate) recovered: u64,
    pub(crate) is_closed: bool,
    pub(crate) probes: u64,
    /// The most at once, in any one time that it was half open.
    pub(crate) probes_at_once: u64,
    /// Those of the last such time.
    pub(crate) probes_last: u64,
}

impl Guarded {
    pub(crate) async fn start(scenario: &Scenario, client: Client) -> Self {
        // By default a line is shorter than the most agents that this example is run with.
        let settings = Settings { max_waiters: scenario.agents as usize, ..Settings::default() };
        let builder = Tollgate::builder().settings(settings).breaker(limits::breaker_name(), limits::breaker(scenario));
        let builder =
            limits::definitions(scenario).into_iter().fold(builder, |builder, limit| builder.limit_fields(limit));
        let tollgate = builder.start().await.expect("good limits");
        let breaker = tollgate.find_breaker(&limits::breaker_name()).expect("it is there from the start");
        Self { client, scenario: scenario.clone(), tollgate, breaker, probes: Probes::default() }
    }

    fn spec(&self, work: &Work) -> CallSpec {
        let tokens = work.tokens_max();
        let needs = [(REQUESTS, 1), (TOKENS, tokens), (AT_ONCE, 1), (DAY, tokens)];
        let Scenario { minute, backoff, attempts_max, deadline, .. } = self.scenario;
        CallSpec::of(needs)
            .expect("good keys")
            .breaker(limits::breaker_name())
            .provider(Provider::Anthropic)
            .max_wait(10 * minute)
            .deadline(deadline)
            .retries(RetryPolicy::attempts(attempts_max).backoff(Backoff::new(backoff, 200, minute, backoff / 4)))
    }

    /// One attempt, under a lease.
    async fn attempt(&self, call: CallContext, work: &Work, attempt: u32) -> Result<(), Failure> {
        let _probe = Probe::of(&self.breaker, &self.probes);
        let use_of = |tokens| call.report_usage([(TOKENS, tokens), (DAY, tokens)]).expect("keys of the call");
        let answered = self.client.ask(work, attempt, |observed| match observed {
            Observed::Head { status, headers, body } => {
                call.report_response(status, headers, body).expect("a call that runs");
                // It was not let in. Of other failures it is not known what they used.
                if matches!(status, 429 | 529) {
                    use_of(0);
                }
            }
            Observed::Tokens(tokens) => use_of(tokens),
        });
        let answered = answered.await;
        match answered {
            Err(Failure::Cut) => call.report_fault(Fault::StreamCut).expect("a call that runs"),
            Err(Failure::Connect) => call.report_fault(Fault::Connect).expect("a call that runs"),
            Ok(()) | Err(Failure::Status { .. } | Failure::Late) => {}
        }
        answered
    }

    /// What Tollgate says when all is done. `transitions` are those of the whole run.
    pub(crate) async fn account(&self, transitions: &[Transition]) -> Account {
        let day = self.tollgate.usage(&limits::key(DAY)).await.expect("the books answer").expect("it is defined");
        let recoveries = transitions.iter().filter(|transition| transition.cause == Cause::ProbesSucceeded);
        let probes = self.probes.lock().expect("only adds and subtracts").clone();
        Account {
            tokens_completed: day.usage.capacity - day.usage.available,
            opened: self.breaker.view().opened_total,
            recovered: recoveries.count() as u64,
            is_closed: self.breaker.view().state == BreakerState::Closed,
            probes: probes.values().map(|count| count.all).sum(),
            probes_at_once: probes.values().map(|count| count.out_max).max().unwrap_or_default(),
            probes_last: probes.values().next_back().map_or(0, |count| count.all),
        }
    }

    pub(crate) fn tollgate(&self) -> &Tollgate {
        &self.tollgate
    }
}

impl Host for Guarded {
    async fn make(&self, work: &Work) -> Result<(), Failure> {
        let (spec, attempts) = (self.spec(work), AtomicU32::new(0));
        loop {
            let asked = self.tollgate.call(&spec, |call| {
                let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
                self.attempt(call, work, attempt)
            });
            let failure = match asked.await {
                Ok(()) => return Ok(()),
                Err(CallError::Refused(refusal)) if matches!(refusal.reason, Reason::BreakerOpen(_)) => {
                    sleep(refusal.retry_after).await;
                    continue;
                }
                Err(CallError::Failed(failure)) => failure,
                Err(CallError::TimedOut { .. }) => Failure::Late,
                Err(error) => panic!("a call of this host is never refused for good: {error}"),
            };
            // A call that failed as the breaker opened waits with the others.
            match self.breaker.check() {
                Err(open) if attempts.load(Ordering::Relaxed) < self.scenario.attempts_max => {
                    sleep(open.retry_after).await;
                }
                _ => return Err(failure),
            }
        }
    }
}

/// A probe on its way.
struct Probe<'a> {
    probes: &'a Probes,
    generation: u64,
}

impl<'a> Probe<'a> {
    /// `None` for a call that is none.
    fn of(breaker: &Breaker, probes: &'a Probes) -> Option<Self> {
        let view = breaker.view();
        if view.state != BreakerState::HalfOpen {
            return None;
        }
        let probe = Self { probes, generation: view.generation };
        probe.count(|count| {
            count.all += 1;
            count.out += 1;
            count.out_max = count.out_max.max(count.out);
        });
        Some(probe)
    }

    fn count(&self, change: impl FnOnce(&mut ProbeCount)) {
        change(self.probes.lock().expect("only adds and subtracts").entry(self.generation).or_default());
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.count(|count| count.out -= 1);
    }
}
