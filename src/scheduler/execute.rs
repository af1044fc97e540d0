//! The call of a job: what it is given, and what it says when it is over.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use crate::call::BoxError;
use crate::clock::time_left;
use crate::policy::{Amounts, CallReport, Fault, LeaseId, Outcome};

/// Makes the call of one job, once it was granted what it needs. It is made once at most. Dropping its future ends it:
/// so do cancellations and deadlines. A closure that takes a [`Run`] is one.
pub trait Execute: Send + 'static {
    /// What the call is made for.
    type Answer: Send + 'static;

    /// Makes the call.
    fn execute(self, run: Run) -> impl Future<Output = Result<Executed<Self::Answer>, ExecuteError>> + Send;
}

impl<F, R, A> Execute for F
where
    F: FnOnce(Run) -> R + Send + 'static,
    R: Future<Output = Result<Executed<A>, ExecuteError>> + Send + 'static,
    A: Send + 'static,
{
    type Answer = A;

    fn execute(self, run: Run) -> impl Future<Output = Result<Executed<A>, ExecuteError>> + Send {
        self(run)
    }
}

/// What a call knows of itself.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Run {
    /// The lease that it runs under, which is renewed for as long as it runs.
    pub lease_id: LeaseId,
    /// How many attempts to reserve it took.
    pub attempt: u32,
    pub(super) deadline: Instant,
}

impl Run {
    /// How long the call may still take; then it is dropped.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        time_left(self.deadline)
    }
}

/// A call that went well.
#[derive(Clone, Debug)]
pub struct Executed<A> {
    answer: A,
    used: Used,
}

/// What became of what a call had reserved.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) actuals: Amounts,
    pub(super) report: Option<CallReport>,
}

impl<A> Executed<A> {
    /// It used what it reserved, as far as [`Self::used`] says nothing else.
    pub fn new(answer: A) -> Self {
        let report = Some(CallReport::new(Outcome::success()));
        Self { answer, used: Used { actuals: Amounts::default(), report } }
    }

    /// What it used. A key that is not named used what it reserved, and one that was not reserved is passed over.
    #[must_use]
    pub fn used(mut self, actuals: Amounts) -> Self {
        self.used.actuals = actuals;
        self
    }

    /// What the provider answered, for limits and circuit breakers; a plain success if not said.
    #[must_use]
    pub fn report(mut self, report: CallReport) -> Self {
        self.used.report = Some(report);
        self
    }
}

/// A call that failed. It is charged what it reserved, unless it says what it used, or that it never ran.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ExecuteError {
    #[source]
    error: BoxError,
    used: Failed,
}

/// What a failed call says of what it used.
#[derive(Debug)]
enum Failed {
    NeverRan,
    Ran(Box<Used>),
}

impl ExecuteError {
    /// The call ran, or may have: nothing is given back but what [`Self::used`] says.
    pub fn failed(error: impl Into<BoxError>) -> Self {
        let report = Some(CallReport::new(Outcome::failed(Fault::Other)));
        Self { error: error.into(), used: Failed::Ran(Box::new(Used { actuals: Amounts::default(), report })) }
    }

    /// The provider was not called, and knows nothing of it: everything is given back.
    pub fn never_ran(error: impl Into<BoxError>) -> Self {
        Self { error: error.into(), used: Failed::NeverRan }
    }

    /// What the call used, if it ran. A key that is not named used what it reserved.
    #[must_use]
    pub fn used(mut self, actuals: Amounts) -> Self {
        if let Failed::Ran(used) = &mut self.used {
            used.actuals = actuals;
        }
        self
    }

    /// What the provider answered, if the call ran; a failure of an unknown kind if not said.
    #[must_use]
    pub fn report(mut self, report: CallReport) -> Self {
        if let Failed::Ran(used) = &mut self.used {
            used.report = Some(report);
        }
        self
    }

    /// Whether the call never ran.
    #[must_use]
    pub fn has_never_run(&self) -> bool {
        matches!(self.used, Failed::NeverRan)
    }

    /// What it used of `amounts`.
    pub(super) fn used_of(&mut self, amounts: &Amounts) -> Used {
        match &mut self.used {
            Failed::NeverRan => Used { actuals: amounts.zeroed(), report: None },
            Failed::Ran(used) => Used { actuals: std::mem::take(&mut used.actuals), report: used.report.take() },
        }
    }
}

/// The call of any job, whatever it answers.
pub(super) type Call = Box<dyn FnOnce(Run) -> BoxFuture<'static, Result<Used, ExecuteError>> + Send>;

/// Hides the type of the answer, which `keep` takes.
pub(super) fn call_of<E: Execute>(execute: E, keep: impl FnOnce(E::Answer) + Send + 'static) -> Call {
    Box::new(move |run| {
        async move {
            let executed = execute.execute(run).await?;
            keep(executed.answer);
            Ok(executed.used)
        }
        .boxed()
    })
}
