//! One attempt of one job: reserve, and if that is granted call and complete. It runs in a task of its own, which owns
//! the job until it has told the schedule what became of it.

mod calling;
mod reserving;

use std::any::Any;
use std::sync::Arc;

use tokio::time::Instant;

use super::execute::Used;
use super::job_handle::JobError;
use super::shared::Shared;
use super::task::{Stop, Task};
use crate::client::Completion;
use crate::policy::{Amounts, CallReport, Complete, Fault, Held, LeaseId, Outcome, Turn};

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

    fn never_ran(&self) -> Completion {
        Completion::never_ran(self.lease_id, &self.task.amounts)
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

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
