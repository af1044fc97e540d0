//! One request on its way through a batch, and its answer on its way back.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::client::giving_back::{give_back, may_be_granted};
use crate::client::limiter::{Attempt, Completion, Limiter};
use crate::policy::{Grant, LeaseError, Refusal, Reserve};

/// A reservation.
pub(super) struct ReserveItem {
    pub(super) attempt: Attempt,
    pub(super) reply: oneshot::Sender<Unclaimed>,
    pub(super) slot: OwnedSemaphorePermit,
}

/// A completion. It is carried out whether or not somebody waits for it.
pub(super) struct CompleteItem {
    pub(super) completion: Completion,
    pub(super) reply: oneshot::Sender<Result<(), LeaseError>>,
    pub(super) slot: OwnedSemaphorePermit,
}

/// The answer to a reservation. Where nobody claims it, what was granted is given back.
pub(super) struct Unclaimed {
    /// `None` once it is claimed.
    answer: Option<Result<Grant, Box<Refusal>>>,
    request: Reserve,
    limiter: Arc<dyn Limiter>,
    slot: Option<OwnedSemaphorePermit>,
    tasks: Handle,
}

impl ReserveItem {
    /// Answers it.
    pub(super) fn answer(self, answer: Result<Grant, Box<Refusal>>, limiter: &Arc<dyn Limiter>, tasks: &Handle) {
        let (request, slot) = (self.attempt.request, Some(self.slot));
        let unclaimed =
            Unclaimed { answer: Some(answer), request, limiter: Arc::clone(limiter), slot, tasks: tasks.clone() };
        drop(self.reply.send(unclaimed)); // Sent back, it is dropped unclaimed.
    }
}

impl Unclaimed {
    /// The answer, in the hands of its caller; `None` is never told to a caller, because it is claimed once.
    pub(super) fn claim(mut self) -> Option<Result<Grant, Box<Refusal>>> {
        self.answer.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if !self.answer.take().is_some_and(|answer| may_be_granted(&answer)) {
            return;
        }
        let completion = Completion::never_ran(self.request.lease_id, &self.request.amounts);
        let (limiter, slot) = (Arc::clone(&self.limiter), self.slot.take());
        self.tasks.spawn(async move {
            give_back(&*limiter, vec![completion]).await;
            drop(slot);
        });
    }
}
