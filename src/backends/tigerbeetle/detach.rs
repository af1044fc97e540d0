//! A deadline around work that must go on: what comes too late for its caller is still of use to somebody.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::session::Session;

/// The deadline passed first. The work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TigerBeetle gave no answer within the deadline")]
pub struct TimedOut;

/// Runs `work` inside the future that is returned. When the session's deadline passes, counted from this call, or when
/// that future is dropped, the rest of `work` goes on as a task of the session's runtime, and `late` gets its output.
pub fn within_deadline<F, L>(
    session: &Arc<Session>,
    work: F,
    late: L,
) -> impl Future<Output = Result<F::Output, TimedOut>> + Send + 'static + use<F, L>
where
    F: Future + Send + 'static,
    F::Output: Send,
    L: FnOnce(F::Output) + Send + 'static,
{
    let timer = {
        let _runtime = session.runtime.enter();
        tokio::time::sleep(session.deadline)
    };
    let heard = session.vitals.heard();
    let mut owned = Owned { work: Some(Box::pin(work)), late: Some(late), session: Arc::clone(session) };
    async move {
        let mut timer = pin!(timer);
        poll_fn(|context| {
            if let Poll::Ready(output) = owned.poll(context) {
                return Poll::Ready(Ok(output));
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let vitals = &owned.session.vitals;
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
struct Owned<F: Future + Send + 'static, L: FnOnce(F::Output) + Send + 'static> {
    /// `None` when it is over, or has panicked.
    work: Option<Pin<Box<F>>>,
    late: Option<L>,
    session: Arc<Session>,
}

impl<F: Future + Send + 'static, L: FnOnce(F::Output) + Send + 'static> Owned<F, L> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut work = self.work.take().expect("it is not polled again after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future + Send + 'static, L: FnOnce(F::Output) + Send + 'static> Drop for Owned<F, L> {
    fn drop(&mut self) {
        if let (Some(work), Some(late)) = (self.work.take(), self.late.take()) {
            self.session.runtime.spawn(async move { late(work.await) });
        }
    }
}
