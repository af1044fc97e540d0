//! A limiter around another one that sends requests together: at once while nothing is on its way, else when a batch is
//! full or its first request has waited for a moment. Reservations and completions never share a call.
//!
//! What a caller who has gone was granted is completed with nothing used. There is no actor in it: who comes adds to a
//! queue, and whoever fills a batch, answers one or ends a wait sends the next. So nothing stands between a request and
//! its batch, and nothing has to be restarted.

mod gathering;
mod item;
mod lane;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;

use self::item::{CompleteItem, ReserveItem};
use self::lane::Lane;
use super::limiter::{Attempt, Completion, Limiter};
use super::settings::BatchSettings;
use crate::actors::Wait;
use crate::clock::time_left;
use crate::policy::{Grant, LeaseError, LeaseId, Reason, Refusal, Renew};

/// The most requests of each kind that wait or are on their way. Beyond it reservations are refused as `overloaded`,
/// and completions wait.
const ITEMS_MAX: u32 = 8_192;

/// When to come again after a refusal for want of room here.
const OVERLOADED_RETRY_AFTER: Duration = Duration::from_millis(100);

const TOO_LATE: &str = "the deadline passed before the reservation was answered";
const NO_ANSWER: &str = "the batch ended without an answer";

/// Sends requests together. Clones share their batches. Its `acquire` and `renew`, and what is a batch already, go as
/// they are.
#[derive(Clone)]
pub struct Batcher {
    inner: Arc<dyn Limiter>,
    reserves: Arc<Lane<ReserveItem>>,
    completes: Arc<Lane<CompleteItem>>,
    reserve_slots: Arc<Semaphore>,
    complete_slots: Arc<Semaphore>,
}

impl Batcher {
    /// Sends what is asked of it to `inner`. Must be called on a tokio runtime with timers.
    #[must_use]
    pub fn new(inner: Arc<dyn Limiter>, settings: &BatchSettings) -> Self {
        let slots = || Arc::new(Semaphore::new(ITEMS_MAX as usize));
        let (reserving, completing, tasks) = (Arc::clone(&inner), Arc::clone(&inner), Handle::current());
        Self {
            reserves: Lane::new(settings, move |items| reserve(Arc::clone(&reserving), tasks.clone(), items).boxed()),
            completes: Lane::new(settings, move |items| complete(Arc::clone(&completing), items).boxed()),
            inner,
            reserve_slots: slots(),
            complete_slots: slots(),
        }
    }

    /// Sends what waits, and returns when all of it is answered. From then on reservations are refused as `overloaded`,
    /// and completions go each on its own.
    pub async fn shutdown(&self) {
        // Each request keeps its slot until it is answered, or given back.
        for slots in [&self.reserve_slots, &self.complete_slots] {
            self.reserves.hasten();
            self.completes.hasten();
            let _all = slots.acquire_many(ITEMS_MAX).await; // An error says that it was shut down before.
            slots.close();
        }
    }
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl Limiter for Batcher {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move {
            let Ok(slot) = Arc::clone(&self.reserve_slots).try_acquire_owned() else {
                return Err(Box::new(Refusal::overloaded(OVERLOADED_RETRY_AFTER)));
            };
            let (reply, answer) = oneshot::channel();
            let deadline = attempt.deadline;
            self.reserves.push(ReserveItem { attempt, reply, slot });
            let answered = match deadline {
                Some(deadline) => timeout_at(deadline, answer).await.map_err(|_| unknown(TOO_LATE))?,
                None => answer.await,
            };
            answered.ok().and_then(item::Unclaimed::claim).unwrap_or_else(|| Err(unknown(NO_ANSWER)))
        }
        .boxed()
    }

    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.inner.acquire(attempt, wait)
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        async move {
            let Ok(slot) = Arc::clone(&self.complete_slots).acquire_owned().await else {
                return self.inner.complete(completion).await;
            };
            let (reply, answer) = oneshot::channel();
            self.completes.push(CompleteItem { completion, reply, slot });
            answer.await.unwrap_or_else(|_| Err(LeaseError::Backend(NO_ANSWER.to_owned())))
        }
        .boxed()
    }

    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        self.inner.renew(request)
    }

    fn renew_within(&self, lease_id: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        self.inner.renew_within(lease_id)
    }

    fn reserve_batch(&self, attempts: Vec<Attempt>) -> BoxFuture<'_, Vec<Result<Grant, Box<Refusal>>>> {
        self.inner.reserve_batch(attempts)
    }

    fn complete_batch(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), LeaseError>>> {
        self.inner.complete_batch(completions)
    }
}

/// Sends reservations, but for those that nobody waits for any more.
async fn reserve(limiter: Arc<dyn Limiter>, tasks: Handle, items: Vec<ReserveItem>) {
    let mut sent = Vec::with_capacity(items.len());
    for item in items {
        if item.reply.is_closed() {
            continue;
        }
        if item.attempt.deadline.is_some_and(|deadline| time_left(deadline).is_zero()) {
            // The others must not have their time cut to nothing.
            item.answer(Err(unknown(TOO_LATE)), &limiter, &tasks);
            continue;
        }
        sent.push(item);
    }
    if sent.is_empty() {
        return;
    }
    let answers = limiter.reserve_batch(sent.iter().map(|item| item.attempt.clone()).collect()).await;
    for (item, answer) in sent.into_iter().zip(answers) {
        item.answer(answer, &limiter, &tasks);
    }
}

async fn complete(limiter: Arc<dyn Limiter>, items: Vec<CompleteItem>) {
    let answers = limiter.complete_batch(items.iter().map(|item| item.completion.clone()).collect()).await;
    for (CompleteItem { reply, slot, .. }, answer) in items.into_iter().zip(answers) {
        drop(reply.send(answer)); // Whoever has gone does not care.
        drop(slot);
    }
}

fn unknown(problem: &str) -> Box<Refusal> {
    Box::new(Refusal::permanent(Reason::BackendError(problem.to_owned())))
}
