//! The handle that a host holds.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::builder::SchedulerBuilder;
use super::dispatcher::DispatcherMessage;
use super::execute::{Execute, call_of};
use super::job::Job;
use super::job_handle::{JobError, JobHandle};
use super::observer::JobEvent;
use super::report::{SchedulerStatus, ShutdownReport, count};
use super::shared::Shared;
use super::supervisor::SupervisorMessage;
use super::task::Task;
use crate::client::Limiter;
use crate::policy::{Cancelled, InvalidRequest, JobSpec, Label, ScheduleFull};

/// How long jobs that are told to end may take for it: a completion, mostly.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A running scheduler. Cheap to clone; when the last clone is dropped it ends as by a shutdown without grace.
#[derive(Clone)]
pub struct Scheduler {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// Ends the actors with the last handle.
struct Owner {
    supervisor: ActorRef<SupervisorMessage>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.supervisor.stop(Some("the last handle was dropped".to_owned()));
    }
}

/// Why a job was not taken in. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It is described wrongly.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] ScheduleFull),
}

impl Scheduler {
    /// Begins to set one up, over the limits of `limiter`.
    #[must_use]
    pub fn builder(limiter: Arc<dyn Limiter>) -> SchedulerBuilder {
        SchedulerBuilder::new(limiter)
    }

    pub(super) fn new(shared: Arc<Shared>, supervisor: ActorRef<SupervisorMessage>) -> Self {
        Self { shared, _owner: Arc::new(Owner { supervisor }) }
    }

    /// Takes a job in. The handle is a future of what becomes of it.
    ///
    /// # Errors
    /// A [`SubmitError`], at once: the scheduler never waits for room.
    pub fn submit<E: Execute>(&self, job: Job<E>) -> Result<JobHandle<E::Answer>, SubmitError> {
        job.check()?;
        let now = self.shared.clock.now();
        let Job { id, upstream, amounts, breaker, tenant, priority, deadline, attempts_max, execute } = job;
        let answer = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&answer);
        let call = call_of(execute, move |answer| {
            if let Ok(mut kept) = kept.lock() {
                *kept = Some(answer);
            }
        });
        let (sender, ended) = oneshot::channel();
        let deadline = now.after(deadline);
        let spec = JobSpec { id: id.clone(), upstream, tenant, priority, deadline, attempts_max };
        let task = Arc::new(Task::new(spec, amounts, breaker, call, sender));
        let submitted = self.shared.schedule().submit(Arc::clone(&task), now);
        match submitted {
            Ok(()) => {
                count(&self.shared.counters.submitted);
                self.shared.tell(&task, &JobEvent::Queued);
                self.shared.wake();
                Ok(JobHandle { id, ended, answer })
            }
            Err(full) => {
                count(&self.shared.counters.turned_away);
                Err(full.into())
            }
        }
    }

    /// Ends a job: at once if it waits; else its reservation or its call is dropped, and its lease completed. Says
    /// whether there is such a job; one that is just ending may still end otherwise.
    pub fn cancel(&self, id: &Label) -> bool {
        let cancelled = self.shared.schedule().cancel(id);
        match cancelled {
            Some(Cancelled::Waiting(ended)) => self.shared.ended_waiting(ended, JobError::Cancelled),
            Some(Cancelled::UnderWay(task)) => task.cancel(),
            None => return false,
        }
        true
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> SchedulerStatus {
        let now = self.shared.clock.now();
        let mut actors = self.shared.supervisor.status(now);
        actors.children = vec![self.shared.dispatcher.status(now)];
        let totals = self.shared.counters.totals();
        let schedule = self.shared.schedule();
        SchedulerStatus {
            is_open: schedule.is_open(),
            waiting: schedule.waiting(),
            under_way: schedule.under_way(),
            queues: schedule.queues().collect(),
            totals,
            actors,
        }
    }

    /// Takes no more jobs, goes on with those it has for as long as `grace`, then ends the rest: those that wait are
    /// dropped, those that run are cancelled. Then it ends the actors. A second call says what the first one does.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shared.drain();
        let _ = tokio::time::timeout(grace, self.shared.emptied()).await;
        self.shared.close();
        if tokio::time::timeout(STOP_MAX, self.shared.emptied()).await.is_err() {
            let left: Vec<_> = self.shared.schedule().all_under_way().map(|task| task.spec.id.clone()).collect();
            tracing::warn!(jobs = left.len(), "jobs that were told to end go on after the scheduler");
            self.shared.left_behind(left);
        }
        if self.shared.supervisor.actor().is_some() {
            // No answer: it has ended before.
            let _ = self.shared.supervisor.call(SupervisorMessage::Stop).await;
            self.shared.supervisor.ended().await;
        }
        self.shared.report().clone().unwrap_or_default()
    }

    /// Waits until it has ended, by [`Self::shutdown`] or because its actors died too often.
    pub async fn ended(&self) {
        self.shared.supervisor.ended().await;
    }

    /// The actor that gives jobs their turn, for `ractor::cast!`; `None` while it is being restarted.
    #[must_use]
    pub fn dispatcher_actor(&self) -> Option<ActorRef<DispatcherMessage>> {
        self.shared.dispatcher.actor()
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("name", &self.shared.supervisor.name()).finish_non_exhaustive()
    }
}
