//! The contract of a limiter: the same answers, whether the limits are kept in this process or across a network.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::time::Instant;

use crate::actors::Wait;
use crate::policy::{Amounts, CallReport, Complete, Grant, LeaseError, LeaseId, Refusal, Renew, Reserve};

/// Reserves before calls and completes after them.
///
/// **Ids.** A new lease id for every attempt, and the same again only after [`Reason::BackendError`], which says that
/// nobody knows whether the reservation was made, until an answer says it. A refusal as overloaded does not;
/// [`next_try`](crate::policy::next_try) is that rule. Whoever gives up before completes the attempt as one that
/// [never ran](Completion::never_ran).
///
/// [`Reason::BackendError`]: crate::policy::Reason::BackendError
///
/// **Leaving.** Dropping the future of a reservation leaves its line, gives back what it is granted late, and uses up
/// its id: do not ask again under it. For an answer that comes in time or not at all, give the attempt a deadline
/// instead. A completion that was begun goes on.
pub trait Limiter: Send + Sync + 'static {
    /// Reserves all that a call may use, or nothing.
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>>;

    /// Reserves now or as soon as there is room; waits at most as long as `wait` says, and not beyond the deadline.
    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>>;

    /// Ends a lease by its id. One that is unknown or over is no error.
    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Extends the concurrency holds of a lease; says how long it now lives.
    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>>;

    /// How long there is to renew a lease: until the first of its concurrency holds ends. `None` if it has none.
    fn renew_within(&self, lease_id: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>>;

    /// Many reservations, each decided on its own; the answers are in their order.
    fn reserve_batch(&self, attempts: Vec<Attempt>) -> BoxFuture<'_, Vec<Result<Grant, Box<Refusal>>>> {
        join_all(attempts.into_iter().map(|attempt| self.reserve(attempt))).boxed()
    }

    /// Many completions, each carried out on its own; the answers are in their order.
    fn complete_batch(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), LeaseError>>> {
        join_all(completions.into_iter().map(|completion| self.complete(completion))).boxed()
    }
}

/// One attempt to reserve.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is asked for.
    pub request: Reserve,
    /// When an answer is of no more use. It shortens the time that an answer across a network may take: at the deadline
    /// it is [`Reason::BackendError`], and its id is used up. A Tollgate in this process answers at once, or by the
    /// deadline of its ledger.
    ///
    /// [`Reason::BackendError`]: crate::policy::Reason::BackendError
    pub deadline: Option<Instant>,
}

impl Attempt {
    /// The same, of use until `deadline` only.
    #[must_use]
    pub fn by(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// Without a deadline.
impl From<Reserve> for Attempt {
    fn from(request: Reserve) -> Self {
        Self { request, deadline: None }
    }
}

/// The end of a lease.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Which lease, and what was used.
    pub request: Complete,
    /// How the call went, if that is known: for its circuit breaker, and for what the provider said of its limits.
    pub report: Option<CallReport>,
}

impl Completion {
    /// Ends a lease over `amounts` whose call never ran: all of it is free again. Also for a reservation of which
    /// nobody knows whether it was made, and that nobody will use.
    #[must_use]
    pub fn never_ran(lease_id: LeaseId, amounts: &Amounts) -> Self {
        Complete { lease_id, actuals: amounts.zeroed() }.into()
    }
}

/// Without a word on how the call went.
impl From<Complete> for Completion {
    fn from(request: Complete) -> Self {
        Self { request, report: None }
    }
}
