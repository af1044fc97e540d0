//! What the handle, the actors and the jobs of one scheduler share. Nothing here is lost when an actor dies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, oneshot};

use super::dispatcher::DispatcherMessage;
use super::job_handle::JobError;
use super::observer::{self, JobEvent, SchedulerObserver};
use super::report::{Counters, ShutdownReport, count};
use super::supervisor::SupervisorMessage;
use super::task::Task;
use crate::actors::Mailbox;
use crate::client::Limiter;
use crate::clock::Clock;
use crate::policy::{Ended, Label, Schedule};

/// One scheduler.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) limiter: Arc<dyn Limiter>,
    observer: Option<Arc<dyn SchedulerObserver>>,
    schedule: Mutex<Schedule<Arc<Task>>>,
    pub(super) supervisor: Mailbox<SupervisorMessage>,
    pub(super) dispatcher: Mailbox<DispatcherMessage>,
    /// A wake-up is on its way: one is enough for any number of reasons.
    is_woken: AtomicBool,
    pub(super) counters: Counters,
    /// Leases that are being given back for jobs that have ended.
    pub(super) giving_back: AtomicUsize,
    /// Something ended, and perhaps it was the last.
    pub(super) ended: Notify,
    /// What a shutdown has come to, once one has begun.
    report: Mutex<Option<ShutdownReport>>,
}

impl Shared {
    pub(super) fn new(
        name: &str,
        limiter: Arc<dyn Limiter>,
        observer: Option<Arc<dyn SchedulerObserver>>,
        schedule: Schedule<Arc<Task>>,
    ) -> Self {
        Self {
            clock: Clock::start(),
            limiter,
            observer,
            schedule: Mutex::new(schedule),
            supervisor: Mailbox::new(name.to_owned(), 64),
            dispatcher: Mailbox::new(format!("{name}/dispatcher"), 64),
            is_woken: AtomicBool::new(false),
            counters: Counters::default(),
            giving_back: AtomicUsize::new(0),
            ended: Notify::new(),
            report: Mutex::new(None),
        }
    }

    /// No code of the host runs while it is locked: whoever takes a job out holds it until after.
    pub(super) fn schedule(&self) -> MutexGuard<'_, Schedule<Arc<Task>>> {
        self.schedule.lock().expect("nothing under this lock panics but a broken invariant")
    }

    /// Lets the dispatcher look for what can be done.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) && self.dispatcher.cast(DispatcherMessage::Wake).is_err() {
            self.is_woken.store(false, Ordering::Release); // It looks for itself when it is back.
        }
    }

    /// The dispatcher is about to look: what happens from now on is worth another wake-up.
    pub(super) fn woken(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    pub(super) fn tell(&self, task: &Task, event: &JobEvent<'_>) {
        observer::tell(self.observer.as_deref(), &task.spec, event);
    }

    /// Tells the end of a job to all who are to know it; the first end counts.
    pub(super) fn answer(&self, task: &Task, result: Result<(), JobError>, was_under_way: bool) {
        if let Some(answer) = self.note_end(task, result, was_under_way) {
            answer.send();
        }
    }

    /// The same but for the job's handle, which is told with what this gives out: whoever has heard of the end of a job
    /// finds its place free.
    pub(super) fn note_end(&self, task: &Task, result: Result<(), JobError>, was_under_way: bool) -> Option<Answer> {
        let ended = task.take_ended()?;
        task.forget_call();
        count(if result.is_ok() { &self.counters.succeeded } else { &self.counters.failed });
        if let Some(report) = &mut *self.report() {
            report.note(&task.spec.id, &result, was_under_way);
        }
        self.tell(task, &JobEvent::Ended(&result));
        Some(Answer { ended, result })
    }

    /// A job ended while it waited.
    pub(super) fn ended_waiting(self: &Arc<Self>, ended: Ended<Arc<Task>>, error: JobError) {
        self.answer(&ended.job, Err(error), false);
        if let Some(lease_id) = ended.in_doubt {
            self.give_back(lease_id, &ended.job);
        }
        self.ended.notify_waiters();
    }

    /// A job that was under way is no more.
    pub(super) fn ended_under_way(&self) {
        self.ended.notify_waiters();
        self.wake();
    }

    /// Waits until no job is left, and no lease of one that has ended.
    pub(super) async fn emptied(&self) {
        loop {
            let ended = self.ended.notified();
            if self.schedule().is_empty() && self.giving_back.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Takes no more jobs, and notes from now on what becomes of those that are there.
    pub(super) fn drain(&self) {
        self.report().get_or_insert_default();
        self.schedule().drain();
    }

    /// Ends all jobs: those that wait now, those that are under way as soon as they let themselves be ended.
    pub(super) fn close(self: &Arc<Self>) {
        loop {
            let ended = self.schedule().stop();
            let Some(ended) = ended else { break };
            self.ended_waiting(ended, JobError::ShutDown);
        }
        self.schedule().all_under_way().for_each(|task| task.shut_down());
    }

    /// Some jobs did not end when they were told to: wherever else the report has them, they are left behind.
    pub(super) fn left_behind(&self, jobs: Vec<Label>) {
        let mut report = self.report();
        let report = report.get_or_insert_default();
        report.cancelled.retain(|id| !jobs.contains(id));
        report.left_behind = jobs;
    }

    pub(super) fn report(&self) -> MutexGuard<'_, Option<ShutdownReport>> {
        self.report.lock().expect("only adds to lists")
    }
}

/// The end of a job, of which its handle is to be told.
pub(super) struct Answer {
    ended: oneshot::Sender<Result<(), JobError>>,
    result: Result<(), JobError>,
}

impl Answer {
    pub(super) fn send(self) {
        drop(self.ended.send(self.result)); // Whoever dropped the handle does not want to know.
    }
}
