//! A host without Tollgate: it sends what it has, and tries again as SDKs do, with backoff or when the provider says.

use tokio::time::{sleep, timeout};

use super::agent::Host;
use super::client::{Client, Failure};
use super::scenario::{Scenario, Work};

pub(crate) struct Naive {
    pub(crate) client: Client,
    pub(crate) scenario: Scenario,
}

impl Host for Naive {
    async fn make(&self, work: &Work) -> Result<(), Failure> {
        let mut random = self.scenario.random(&work.name);
        let mut backoff = self.scenario.backoff;
        let mut attempt = 1;
        loop {
            let asked = timeout(self.scenario.deadline, self.client.ask(work, attempt, |_| {})).await;
            let failure = match asked.unwrap_or(Err(Failure::Late)) {
                Ok(()) => return Ok(()),
                Err(failure) if attempt == self.scenario.attempts_max => return Err(failure),
                Err(failure) => failure,
            };
            let wait = match failure {
                Failure::Status { retry_after: Some(retry_after), .. } => retry_after,
                Failure::Status { .. } | Failure::Connect | Failure::Cut | Failure::Late => backoff,
            };
            // Up to a quarter more, so that not all come back together.
            sleep(wait.mul_f64(1.0 + random.f64() / 4.0)).await;
            backoff = (backoff * 2).min(self.scenario.minute);
            attempt += 1;
        }
    }
}
