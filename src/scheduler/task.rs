//! A job as the scheduler keeps it: in its schedule while it waits, and with whoever tries it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, oneshot};

use super::execute::Call;
use super::job_handle::JobError;
use crate::policy::{Amounts, BreakerName, JobSpec, Scheduled};

/// Why a job that is under way is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Cancelled,
    ShutDown,
    TooLate,
}

/// One job.
pub(super) struct Task {
    pub(super) spec: JobSpec,
    pub(super) amounts: Amounts,
    pub(super) breaker: Option<BreakerName>,
    call: Mutex<Option<Call>>,
    ended: Mutex<Option<oneshot::Sender<Result<(), JobError>>>>,
    is_cancelled: AtomicBool,
    is_shut_down: AtomicBool,
    stop: Notify,
}

impl Scheduled for std::sync::Arc<Task> {
    fn spec(&self) -> &JobSpec {
        &self.spec
    }
}

impl Task {
    pub(super) fn new(
        spec: JobSpec,
        amounts: Amounts,
        breaker: Option<BreakerName>,
        call: Call,
        ended: oneshot::Sender<Result<(), JobError>>,
    ) -> Self {
        Self {
            spec,
            amounts,
            breaker,
            call: Mutex::new(Some(call)),
            ended: Mutex::new(Some(ended)),
            is_cancelled: AtomicBool::new(false),
            is_shut_down: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// Its call, which is made once.
    pub(super) fn take_call(&self) -> Option<Call> {
        self.call.lock().expect("only taken out").take()
    }

    /// Where its end is to be told; `None` if it was.
    pub(super) fn take_ended(&self) -> Option<oneshot::Sender<Result<(), JobError>>> {
        self.ended.lock().expect("only taken out").take()
    }

    /// Drops a call that will not be made, with all that the host put into it.
    pub(super) fn forget_call(&self) {
        let call = self.take_call();
        if catch_unwind(AssertUnwindSafe(|| drop(call))).is_err() {
            tracing::warn!(job_id = self.spec.id.as_str(), "what a job held panicked when it was dropped");
        }
    }

    /// Tells whoever has it to end it.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        self.stop.notify_one();
    }

    /// The same, because the scheduler ends.
    pub(super) fn shut_down(&self) {
        self.is_shut_down.store(true, Ordering::Release);
        self.stop.notify_one();
    }

    /// Waits until it is to end, before its deadline. One waits at a time.
    pub(super) async fn stopped(&self) -> Stop {
        loop {
            if self.is_cancelled.load(Ordering::Acquire) {
                return Stop::Cancelled;
            }
            if self.is_shut_down.load(Ordering::Acquire) {
                return Stop::ShutDown;
            }
            self.stop.notified().await;
        }
    }
}
