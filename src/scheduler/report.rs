//! How a scheduler stands, and how it ended.

use std::sync::atomic::{AtomicU64, Ordering};

use super::job_handle::JobError;
use crate::actors::ActorStatus;
use crate::policy::{Label, QueueView};

/// How a scheduler stands.
#[derive(Clone, Debug)]
pub struct SchedulerStatus {
    /// Whether it takes jobs.
    pub is_open: bool,
    /// How many jobs wait.
    pub waiting: usize,
    /// How many jobs are under way: reserved for, or running.
    pub under_way: usize,
    /// The queues that have jobs.
    pub queues: Vec<QueueView>,
    /// What it has counted.
    pub totals: SchedulerTotals,
    /// Its tree of actors.
    pub actors: ActorStatus,
}

/// What a scheduler has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerTotals {
    /// Jobs taken in.
    pub submitted: u64,
    /// Jobs not taken in.
    pub turned_away: u64,
    /// Attempts that were denied.
    pub denied: u64,
    /// Attempts of which nobody knew whether they were granted.
    pub unknown: u64,
    /// Attempts that were granted.
    pub granted: u64,
    /// Jobs whose call went well.
    pub succeeded: u64,
    /// Jobs that ended otherwise.
    pub failed: u64,
    /// Leases that could not be completed: they end by themselves.
    pub not_completed: u64,
}

/// The same while it counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) submitted: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) granted: AtomicU64,
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) not_completed: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn totals(&self) -> SchedulerTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SchedulerTotals {
            submitted: read(&self.submitted),
            turned_away: read(&self.turned_away),
            denied: read(&self.denied),
            unknown: read(&self.unknown),
            granted: read(&self.granted),
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            not_completed: read(&self.not_completed),
        }
    }
}

/// What became of the jobs that a scheduler had when its shutdown began. Each is in one of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// They went well within the grace.
    pub finished: Vec<Label>,
    /// They failed, were too late or were cancelled within the grace.
    pub failed: Vec<Label>,
    /// They were under way when the grace was over: their calls were dropped.
    pub cancelled: Vec<Label>,
    /// They still waited when the grace was over: their calls were not made.
    pub dropped: Vec<Label>,
    /// They were told to end, and had not when the scheduler gave up waiting for them: their calls do not let go of
    /// their thread, or their leases cannot be completed.
    pub left_behind: Vec<Label>,
}

impl ShutdownReport {
    /// Notes the end of a job; `was_under_way` tells whether it was being tried or ran.
    pub(super) fn note(&mut self, id: &Label, result: &Result<(), JobError>, was_under_way: bool) {
        let list = match result {
            Ok(()) => &mut self.finished,
            Err(JobError::ShutDown) if was_under_way => &mut self.cancelled,
            Err(JobError::ShutDown) => &mut self.dropped,
            Err(_) => &mut self.failed,
        };
        list.push(id.clone());
    }
}
