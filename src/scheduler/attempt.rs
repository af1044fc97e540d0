//! One attempt of one job: reserve, and if that is granted call and complete. It runs in a task of its own, which owns
//! the job until it has told the schedule what became of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use tokio::time::Instant;

use super::execute::{Run, Used};
use super::job_handle::JobError;
use super::observer::JobEvent;
use super::report::count;
use super::shared::Shared;
use super::task::{Stop, Task};
use crate::client::{Attempt as Asked, Completion};
use crate::policy::{
    Amounts, CallReport, Complete, Deferral, Deferred, Fault, Grant, Held, Labels, LeaseId, NextTry, Outcome, Reason,
    Refusal, Reserve, Turn, next_try,
};

/// What an attempt has of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// Nothing.
    Nothing,
    /// An earlier answer left it unknown.
    InDoubt,
    /// It was granted, and the call has not begun.
    Granted,
    /// The call has begun.
    Running,
}

/// A job that is under way.
pub(super) struct Attempt {
    shared: Arc<Shared>,
    task: Arc<Task>,
    /// `None` once the schedule was told what became of it.
    held: Option<Held>,
    lease_id: LeaseId,
    owed: Owed,
    was_granted: bool,
    attempt: u32,
    unknowns: u32,
    deadline: Instant,
}

impl Attempt {
    pub(super) fn new(shared: &Arc<Shared>, turn: Turn<Arc<Task>>) -> Self {
        let Turn { held, job: task, attempt, in_doubt, unknowns } = turn;
        let owed = if in_doubt.is_some() { Owed::InDoubt } else { Owed::Nothing };
        let lease_id = in_doubt.unwrap_or_else(LeaseId::generate);
        let deadline = shared.clock.instant_of(task.spec.deadline);
        let (shared, held, was_granted) = (Arc::clone(shared), Some(held), false);
        Self { shared, task, held, lease_id, owed, was_granted, attempt, unknowns, deadline }
    }

    pub(super) async fn run(mut self) {
        match self.reserve().await {
            Ok(Ok(grant)) => self.granted(grant).await,
            Ok(Err(refusal)) => self.refused(&refusal),
            // Dropping the reservation gives back what it is granted late; what an earlier one was is given back here.
            Err(stop) => {
                self.end_with(Err(stopped(stop, false)));
            }
        }
    }

    async fn reserve(&self) -> Result<Result<Grant, Box<Refusal>>, Stop> {
        let labels = Labels { job_id: Some(self.task.spec.id.clone()), tenant: self.task.spec.tenant.clone() };
        let (amounts, breaker) = (self.task.amounts.clone(), self.task.breaker.clone());
        let asked = Asked::from(Reserve { lease_id: self.lease_id, labels, amounts, breaker }).by(self.deadline);
        let shared = Arc::clone(&self.shared);
        let asking = AssertUnwindSafe(async move { shared.limiter.reserve(asked).await }).catch_unwind();
        tokio::select! {
            biased;
            stop = self.stopped() => Err(stop),
            answer = asking => Ok(answer.unwrap_or_else(|panic| {
                let problem = format!("the limiter panicked: {}", text_of(&*panic));
                Err(Box::new(Refusal::permanent(Reason::BackendError(problem))))
            })),
        }
    }

    fn refused(mut self, refusal: &Refusal) {
        let deferral = match next_try(refusal, self.unknowns, fastrand::u64(..)) {
            NextTry::GiveUp => {
                return self.end_with(Err(JobError::Refused(Box::new(refusal.clone()))));
            }
            NextTry::SameLease { after } => {
                count(&self.shared.counters.unknown);
                self.shared.tell(&self.task, &JobEvent::Unknown { refusal, after });
                Deferral::SameLease { lease_id: self.lease_id, after }
            }
            NextTry::NewLease { after } => {
                count(&self.shared.counters.denied);
                self.shared.tell(&self.task, &JobEvent::Denied { refusal, after });
                Deferral::NewLease { after, at_least: wait_at_least(refusal).unwrap_or(after) }
            }
        };
        let Some(held) = self.held.take() else { return };
        let now = self.shared.clock.now();
        let deferred = self.shared.schedule().defer(held, deferral, now);
        match deferred {
            Deferred::Waiting => {}
            Deferred::Exhausted(ended) => {
                let (attempts, last) = (self.attempt, Box::new(refusal.clone()));
                self.shared.ended_waiting(ended, JobError::Denied { attempts, last });
            }
            Deferred::Cancelled(ended) => self.shared.ended_waiting(ended, JobError::Cancelled),
            Deferred::Stopped(ended) => self.shared.ended_waiting(ended, JobError::ShutDown),
        }
        self.shared.ended_under_way();
    }

    async fn granted(mut self, grant: Grant) {
        (self.owed, self.was_granted) = (Owed::Granted, true);
        if let Some(held) = &self.held {
            self.shared.schedule().granted(held);
        }
        self.shared.wake(); // Others of its queue may be tried now.
        count(&self.shared.counters.granted);
        self.shared.tell(&self.task, &JobEvent::Granted { lease_id: grant.lease_id, attempt: self.attempt });
        // Who is to end does not begin.
        if let Some(stop) = self.stopped().now_or_never() {
            self.answer(Err(stopped(stop, false)));
            let completion = self.never_ran();
            return self.complete(completion, Err(stopped(stop, false))).await;
        }
        self.shared.tell(&self.task, &JobEvent::Started);
        self.call().await;
    }

    /// Makes the call, and completes its lease. Whoever waits is told at once of what ends the call from outside, and
    /// after the completion of what it ended with itself: what it did not use is free then.
    async fn call(mut self) {
        let Some(call) = self.task.take_call() else { return };
        let run = Run { lease_id: self.lease_id, attempt: self.attempt, deadline: self.deadline };
        let began_at = self.shared.clock.now();
        self.owed = Owed::Running;
        let mut calling = Box::pin(AssertUnwindSafe(async move { call(run).await }).catch_unwind());
        let result = tokio::select! {
            biased;
            result = &mut calling => Ok(result),
            stop = self.stopped() => Err(stop),
        };
        // A call that panics while it is dropped has ended all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(calling)));
        let (used, result) = match result {
            Ok(Ok(Ok(used))) => (used, Ok(())),
            Ok(Ok(Err(mut error))) => (error.used_of(&self.task.amounts), Err(JobError::Failed(error))),
            Ok(Err(panic)) => (cut_short(Fault::Cancelled), Err(JobError::Panicked(text_of(&*panic)))),
            Err(stop) => {
                self.answer(Err(stopped(stop, true)));
                let fault = if stop == Stop::TooLate { Fault::Timeout } else { Fault::Cancelled };
                (cut_short(fault), Err(stopped(stop, true)))
            }
        };
        let mut report = used.report;
        if let Some(report) = &mut report {
            report.outcome.latency.get_or_insert_with(|| self.shared.clock.now().since(began_at));
        }
        let request = Complete { lease_id: self.lease_id, actuals: self.of_lease(used.actuals) };
        self.complete(Completion { request, report }, result).await;
    }

    /// Completes the lease, then tells the result, if whoever waits was told no other before.
    async fn complete(mut self, completion: Completion, result: Result<(), JobError>) {
        self.owed = Owed::Nothing;
        self.shared.complete(completion).await;
        self.end_with(result);
    }

    fn never_ran(&self) -> Completion {
        Completion::never_ran(self.lease_id, &self.task.amounts)
    }

    /// What was used of what the lease holds: a completion that names anything else would not be carried out.
    fn of_lease(&self, actuals: Amounts) -> Amounts {
        let is_held = |key| self.task.amounts.iter().any(|amount| amount.key == key);
        let (held, others): (Vec<_>, Vec<_>) = actuals.iter().cloned().partition(|amount| is_held(amount.key.clone()));
        if let Some(other) = others.first() {
            let job_id = self.task.spec.id.as_str();
            tracing::warn!(job_id, key = %other.key, "a job says that it used what it had not reserved");
        }
        held.into_iter().collect()
    }

    async fn stopped(&self) -> Stop {
        let stopped = tokio::time::timeout_at(self.deadline, self.task.stopped()).await;
        stopped.unwrap_or(Stop::TooLate)
    }

    fn answer(&self, result: Result<(), JobError>) {
        self.shared.answer(&self.task, result, true);
    }

    /// The job is over: lets go of it, then tells its handle, unless that was told before.
    fn end_with(&mut self, result: Result<(), JobError>) {
        let answer = self.shared.note_end(&self.task, result, true);
        self.end();
        if let Some(answer) = answer {
            answer.send();
        }
    }

    /// The job is over: lets go of it, and of what it may have been granted.
    fn end(&mut self) {
        let Some(held) = self.held.take() else { return };
        let completion = match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Nothing => None,
            Owed::InDoubt | Owed::Granted => Some(self.never_ran()),
            Owed::Running => Some(Completion {
                request: Complete { lease_id: self.lease_id, actuals: Amounts::default() },
                report: cut_short(Fault::Cancelled).report,
            }),
        };
        if let Some(completion) = completion {
            self.shared.complete_later(completion);
        }
        self.shared.schedule().end(held, self.was_granted);
        self.shared.ended_under_way();
    }
}

/// An attempt that is dropped in the middle, with the runtime it ran on, lets go of its job too.
impl Drop for Attempt {
    fn drop(&mut self) {
        if self.held.is_some() {
            self.end_with(Err(JobError::ShutDown));
        }
    }
}

fn stopped(stop: Stop, has_begun: bool) -> JobError {
    match stop {
        Stop::Cancelled => JobError::Cancelled,
        Stop::ShutDown => JobError::ShutDown,
        Stop::TooLate => JobError::TooLate { has_begun },
    }
}

/// A call that did not end by itself is taken to have used what it reserved.
fn cut_short(fault: Fault) -> Used {
    Used { actuals: Amounts::default(), report: Some(CallReport::new(Outcome::failed(fault))) }
}

/// How long a denial lasts at least, whatever completes; `None` if completions do not matter to it.
fn wait_at_least(refusal: &Refusal) -> Option<Duration> {
    let waits = refusal.denied.iter().map(|denied| denied.wait_at_least);
    if refusal.reason == Reason::Denied { waits.max() } else { None }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
