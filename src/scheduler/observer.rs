//! What a host may watch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::job_handle::JobError;
use crate::policy::{JobSpec, LeaseId, Refusal};

/// What happens to a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobEvent<'a> {
    /// It was taken in.
    Queued,
    /// It was denied what it needs, and is not tried before `after` is over.
    Denied {
        /// Why.
        refusal: &'a Refusal,
        /// From now.
        after: Duration,
    },
    /// Whether it was granted what it needs is unknown; the same is asked again when `after` is over.
    Unknown {
        /// Why.
        refusal: &'a Refusal,
        /// From now.
        after: Duration,
    },
    /// It was granted what it needs.
    Granted {
        /// Under this lease.
        lease_id: LeaseId,
        /// How many attempts it took.
        attempt: u32,
    },
    /// Its call begins.
    Started,
    /// Its lease has ended while its call runs, which goes on: it could not be renewed in time, or somebody has
    /// completed it.
    LeaseLost,
    /// It has ended; the last of its events.
    Ended(&'a Result<(), JobError>),
}

/// Watches all jobs of a scheduler. It is called in the scheduler's own tasks, and should only take notes. If it panics
/// that is logged, and changes nothing. Events of one job come in order, but for `Queued`: it is told by the task that
/// submits, while another may already have begun with the job.
pub trait SchedulerObserver: Send + Sync + 'static {
    /// Something happened to a job.
    fn observe(&self, job: &JobSpec, event: &JobEvent<'_>);
}

/// Tells `observer`, whatever it does.
pub(super) fn tell(observer: Option<&dyn SchedulerObserver>, job: &JobSpec, event: &JobEvent<'_>) {
    let Some(observer) = observer else { return };
    if catch_unwind(AssertUnwindSafe(|| observer.observe(job, event))).is_err() {
        tracing::warn!(job_id = job.id.as_str(), ?event, "the observer of a scheduler panicked; the job goes on");
    }
}
