//! The one timer of an actor that does things when they are due.

use std::time::Duration;

use ractor::{ActorRef, Message};
use tokio::task::AbortHandle;

use crate::policy::Moment;

/// The farthest that it is set. A tick that comes too early finds nothing due, and sets it again.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Sends its actor a tick, of which it knows whether it was replaced meanwhile. Dropped, it sends none.
#[derive(Default)]
pub(crate) struct Timer {
    armed: Option<(Moment, AbortHandle)>,
    generation: u64,
}

impl Timer {
    /// Sends `tick` of a new generation at `due`, which is in `wait`, in place of what it was to send.
    pub(crate) fn arm<M: Message>(&mut self, actor: &ActorRef<M>, due: Moment, wait: Duration, tick: fn(u64) -> M) {
        if self.armed.as_ref().is_some_and(|(armed, _)| *armed == due) {
            return;
        }
        self.disarm();
        self.generation += 1;
        let generation = self.generation;
        let timer = actor.send_after(wait.min(WAIT_MAX), move || tick(generation));
        self.armed = Some((due, timer.abort_handle()));
    }

    /// Whether a tick of this generation was not replaced by another one.
    pub(crate) fn is_due(&mut self, generation: u64) -> bool {
        let is_due = generation == self.generation;
        if is_due {
            self.armed = None;
        }
        is_due
    }

    /// Sends nothing.
    pub(crate) fn disarm(&mut self) {
        if let Some((_, timer)) = self.armed.take() {
            timer.abort();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}
