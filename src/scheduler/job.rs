//! A job, as a host describes it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::execute::Execute;
use crate::policy::{Amounts, BreakerName, InvalidRequest, Label, LeaseId, Mistake, Priority, Upstream};

/// What a scheduler is to do: reserve, call, complete.
pub struct Job<E> {
    pub(super) id: Label,
    pub(super) upstream: Upstream,
    pub(super) amounts: Amounts,
    pub(super) breaker: Option<BreakerName>,
    pub(super) tenant: Option<Label>,
    pub(super) priority: Priority,
    pub(super) deadline: Duration,
    pub(super) attempts_max: Option<NonZeroU32>,
    pub(super) execute: E,
}

impl<E: Execute> Job<E> {
    /// How long a job may take, unless it says otherwise: an hour.
    pub const DEADLINE: Duration = Duration::from_secs(3_600);

    /// A job that calls `upstream` and may use `amounts`. It has an id of its own that no other has.
    pub fn new(upstream: Upstream, amounts: Amounts, execute: E) -> Self {
        let id = Label::parse(&LeaseId::generate().to_string()).expect("26 characters are a good label");
        Self {
            id,
            upstream,
            amounts,
            breaker: None,
            tenant: None,
            priority: Priority::default(),
            deadline: Self::DEADLINE,
            attempts_max: None,
            execute,
        }
    }

    /// The name by which it can be cancelled; it is shown with its leases.
    #[must_use]
    pub fn id(mut self, id: Label) -> Self {
        self.id = id;
        self
    }

    /// On behalf of this tenant, who takes turns with others.
    #[must_use]
    pub fn tenant(mut self, tenant: Label) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How long after its submission it must have ended, its call included.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most attempts to reserve, each of which is denied or granted; if not said, as many as fit before the
    /// deadline. One that was left unknown and is made again counts once.
    #[must_use]
    pub fn attempts_max(mut self, attempts_max: NonZeroU32) -> Self {
        self.attempts_max = Some(attempts_max);
        self
    }

    /// Goes through this circuit breaker: denied while it is open.
    #[must_use]
    pub fn breaker(mut self, name: BreakerName) -> Self {
        self.breaker = Some(name);
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidRequest> {
        if self.amounts.is_empty() && self.breaker.is_none() {
            let hint = "name at least one limit, or a circuit breaker with `Job::breaker`";
            return Err(InvalidRequest(vec![Mistake::new("amounts", "has 0 entries", hint)]));
        }
        Ok(())
    }
}

impl<E> fmt::Debug for Job<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
