//! A deadline around work that must go on: what comes too late for its caller is still of use to somebody.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::session::Session;

/// The deadline passed first. The work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TigerBeetle gave no answer within the deadline")]
pub struct TimedOut;

/// Runs `work` inside the future that is returned. When the session's deadline passes, counted from this call, or when
/// that future is dropped, the rest of `work` goes on as a task of the session's runtime, and `late` gets its output.
/// `owner` has the session, or is it.
pub fn within_deadline<S, F, L>(
    owner: &Arc<S>,
    work: F,
    late: L,
) -> impl Future<Output = Result<F::Output, TimedOut>> + Send + 'static + use<S, F, L>
where
    S: AsRef<Session> + Send + Sync + 'static,
    F: Future<Output: Send> + Send + 'static,
    L: FnOnce(F::Output) + Send + 'static,
{
    let session: &Session = owner.as_ref().as_ref();
    let timer = {
        let _runtime = session.runtime.enter();
        tokio::time::sleep(session.deadline)
    };
    let heard = session.vitals.heard();
    let mut owned = Owned { work: Some(Box::pin(work)), has_begun: false, late: Some(late), owner: Arc::clone(owner) };
    async move {
        let mut timer = pin!(timer);
        poll_fn(|context| {
            if let Poll::Ready(output) = owned.poll(context) {
                return Poll::Ready(Ok(output));
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let vitals = &owned.session().vitals;
            vitals.count_timed_out();
            // Work that has not asked it anything says nothing about it.
            if vitals.in_flight() != 0 {
                vitals.mark_away_unless_heard(heard, "no answer within the deadline");
            }
            Poll::Ready(Err(TimedOut))
        })
        .await
    }
}

/// Work that goes on when its owner is dropped.
struct Owned<S, F, L>
where
    S: AsRef<Session> + Send + Sync + 'static,
    F: Future<Output: Send> + Send + 'static,
    L: FnOnce(F::Output) + Send + 'static,
{
    /// `None` when it is over, or has panicked.
    work: Option<Pin<Box<F>>>,
    has_begun: bool,
    late: Option<L>,
    /// Of the session.
    owner: Arc<S>,
}

impl<S, F, L> Owned<S, F, L>
where
    S: AsRef<Session> + Send + Sync + 'static,
    F: Future<Output: Send> + Send + 'static,
    L: FnOnce(F::Output) + Send + 'static,
{
    fn session(&self) -> &Session {
        self.owner.as_ref().as_ref()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        self.has_begun = true;
        let mut work = self.work.take().expect("it is not polled again after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }

    /// Sends what the work sends first: a runtime that has ended runs no task, but the cluster is still there.
    fn begin(&mut self) -> Poll<F::Output> {
        let owner = Arc::clone(&self.owner);
        let _runtime = owner.as_ref().as_ref().runtime.enter();
        // Where a panic would meet another one, in a drop, it would end the process.
        let begun = catch_unwind(AssertUnwindSafe(|| self.poll(&mut Context::from_waker(Waker::noop()))));
        begun.unwrap_or(Poll::Pending)
    }
}

impl<S, F, L> Drop for Owned<S, F, L>
where
    S: AsRef<Session> + Send + Sync + 'static,
    F: Future<Output: Send> + Send + 'static,
    L: FnOnce(F::Output) + Send + 'static,
{
    fn drop(&mut self) {
        let begun = if self.has_begun { Poll::Pending } else { self.begin() };
        let Some(late) = self.late.take() else { return };
        match (begun, self.work.take()) {
            (Poll::Ready(output), _) => drop(self.session().runtime.spawn(async move { late(output) })),
            (Poll::Pending, Some(work)) => drop(self.session().runtime.spawn(async move { late(work.await) })),
            (Poll::Pending, None) => {}
        }
    }
}
