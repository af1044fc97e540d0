//! Sets a scheduler up.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::Actor;

use super::handle::Scheduler;
use super::observer::SchedulerObserver;
use super::shared::Shared;
use super::supervisor::Supervisor;
use crate::client::Limiter;
use crate::policy::{InvalidRequest, Label, Schedule, ScheduleBounds, Turns};

/// Why a scheduler did not start.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerStartError {
    /// A bound is none.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// An actor did not start; another scheduler of this process may have the same name.
    #[error("the actors of `{1}` did not start: {0}; give each scheduler of a process a name of its own")]
    Actors(String, String),
}

/// What a scheduler is to be.
pub struct SchedulerBuilder {
    limiter: Arc<dyn Limiter>,
    name: Option<String>,
    bounds: ScheduleBounds,
    turns: Turns,
    observer: Option<Arc<dyn SchedulerObserver>>,
}

impl SchedulerBuilder {
    pub(super) fn new(limiter: Arc<dyn Limiter>) -> Self {
        Self { limiter, name: None, bounds: ScheduleBounds::default(), turns: Turns::default(), observer: None }
    }

    /// What its actors are called, in logs; no other scheduler or Tollgate of this process may have the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many jobs it takes, and how many run at once.
    #[must_use]
    pub fn bounds(mut self, bounds: ScheduleBounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// A job is served as if it had come this much later for each step of priority below `high`.
    #[must_use]
    pub fn aging(mut self, aging: Duration) -> Self {
        self.turns.aging = aging;
        self
    }

    /// How many jobs of a tenant are served per round; 1 for one that is not named.
    #[must_use]
    pub fn tenant_weights(mut self, weights: HashMap<Label, u32>) -> Self {
        self.turns.tenant_weights = weights;
        self
    }

    /// Watches all jobs.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn SchedulerObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Starts the actors. Must be called on a tokio runtime with timers.
    ///
    /// # Errors
    /// A [`SchedulerStartError`]; nothing runs then.
    pub async fn start(self) -> Result<Scheduler, SchedulerStartError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.bounds.check()?;
        let name = self.name.unwrap_or_else(|| format!("scheduler-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let schedule = Schedule::new(self.bounds, self.turns);
        let shared = Arc::new(Shared::new(&name, self.limiter, self.observer, schedule));
        let started = Actor::spawn(Some(name.clone()), Supervisor, Arc::clone(&shared)).await;
        let (supervisor, ended) = started.map_err(|error| SchedulerStartError::Actors(error.to_string(), name))?;
        shared.supervisor.connect(supervisor.clone(), shared.clock.now());
        let watched = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = ended.await;
            watched.close();
            watched.dispatcher.end();
            watched.supervisor.end();
        });
        Ok(Scheduler::new(shared, supervisor))
    }
}

impl fmt::Debug for SchedulerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerBuilder")
            .field("name", &self.name)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
