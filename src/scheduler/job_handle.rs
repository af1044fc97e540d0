//! What a host waits for.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::execute::ExecuteError;
use crate::policy::{Label, Refusal};

/// Why a job has no answer. Each is told as soon as it is known.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It will never be granted what it needs. The call was not made.
    #[error("{0}; the job was not run")]
    Refused(Box<Refusal>),
    /// It was denied as often as it may be. The call was not made.
    #[error(
        "denied {attempts} times, as often as the job allows, the last time: {last}; allow more with `attempts_max`"
    )]
    Denied {
        /// How often.
        attempts: u32,
        /// The last time.
        last: Box<Refusal>,
    },
    /// Its deadline has passed.
    #[error("the deadline of the job has passed {}; allow more with `deadline`", when(*has_begun))]
    TooLate {
        /// Whether its call had begun, which was then dropped.
        has_begun: bool,
    },
    /// It was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// The scheduler has shut down: before its call began, or while it ran, which was then dropped.
    #[error("the scheduler has shut down before the job was done")]
    ShutDown,
    /// Its call failed.
    #[error("the call failed: {0}")]
    Failed(ExecuteError),
    /// Its call panicked.
    #[error("the call panicked: {0}")]
    Panicked(String),
}

/// A job that was submitted: a future of what becomes of it. Dropping it does not cancel the job.
#[must_use = "a job goes on without its handle, and nobody learns what became of it"]
pub struct JobHandle<A> {
    pub(super) id: Label,
    pub(super) ended: oneshot::Receiver<Result<(), JobError>>,
    pub(super) answer: Arc<Mutex<Option<A>>>,
}

impl<A> JobHandle<A> {
    /// The job's name, to cancel it.
    #[must_use]
    pub fn id(&self) -> &Label {
        &self.id
    }
}

impl<A> Future for JobHandle<A> {
    type Output = Result<A, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Whoever ends a job answers it; only the end of the whole process's runtime does not.
        let ended = ready!(Pin::new(&mut self.ended).poll(context)).unwrap_or(Err(JobError::ShutDown));
        let answer = || self.answer.lock().ok()?.take();
        Poll::Ready(ended.and_then(|()| answer().ok_or(JobError::ShutDown)))
    }
}

impl<A> fmt::Debug for JobHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

fn when(has_begun: bool) -> &'static str {
    if has_begun { "while it ran" } else { "before it ran" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Key, Reason};

    #[test]
    fn who_has_no_answer_is_told_why() {
        let key = Key::parse("rpm").expect("a good key");
        let refused = || Box::new(Refusal::permanent(Reason::NeverFits(key.clone())));
        for (error, told) in [
            (JobError::Refused(refused()), "reservation refused: never_fits:rpm; the job was not run"),
            (
                JobError::Denied { attempts: 2, last: refused() },
                "denied 2 times, as often as the job allows, the last time: reservation refused: never_fits:rpm; \
                allow more with `attempts_max`",
            ),
            (
                JobError::TooLate { has_begun: false },
                "the deadline of the job has passed before it ran; allow more with `deadline`",
            ),
            (
                JobError::TooLate { has_begun: true },
                "the deadline of the job has passed while it ran; allow more with `deadline`",
            ),
            (JobError::Cancelled, "the job was cancelled"),
            (JobError::ShutDown, "the scheduler has shut down before the job was done"),
            (JobError::Failed(ExecuteError::failed("no route")), "the call failed: no route"),
            (JobError::Panicked("oh".to_owned()), "the call panicked: oh"),
        ] {
            assert_eq!(error.to_string(), told);
        }
    }
}
