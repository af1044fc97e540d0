//! Backend: keeps the books tidy, and takes requests over many limits as messages.
//! Owns: the housekeeping of the ledger. The books themselves are shared state that outlives it.
//! What the ledger answers at once is answered in turn. What it does not goes on in a task of its own, so that nobody
//! waits for another one's answer: whoever needs an order waits for the first answer before it sends the second.
//! Parent: root. Restarts: yes, with backoff. Lost on restart: queued messages, whose callers learn so at once; what is
//! under way goes on.
//! Bound: [`QUEUE_MAX`] messages, taken in the mailbox, and [`UNDER_WAY_MAX`] whose answers are on their way; the next
//! one waits in the queue. Talks to: the ledger; nobody upward.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::runtime::Runtime;
use crate::backends::{BackendError, LeaseView, Usage};
use crate::policy::{
    Amounts, CallReport, Complete, Grant, Key, LeaseError, LeaseId, Moment, Refusal, Renew, Reserve, Restraint,
};

/// The most messages queued for the backend.
pub(super) const QUEUE_MAX: usize = 4_096;

/// The most messages whose answers are on their way, those that an earlier incarnation took included.
pub(super) const UNDER_WAY_MAX: usize = 4_096;

/// How often the books are looked through for what is over.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// The most steps of one look, so that a table of a million is gone through in some seconds at a few percent of a core.
const SWEEP_STEPS_MAX: usize = 64;

/// What the backend can be asked.
#[derive(Debug)]
pub enum BackendMessage {
    /// Grants all that is asked for, or charges nothing. A grant that cannot be delivered ends by its own expiry.
    Reserve(Reserve, RpcReplyPort<Result<Grant, Box<Refusal>>>),
    /// Answers as `Reserve` would, and charges nothing.
    Peek(Amounts, RpcReplyPort<Result<(), Box<Refusal>>>),
    /// Ends a lease with what was really used.
    Complete(Complete, RpcReplyPort<Result<(), LeaseError>>),
    /// The same, and tells how the call went: to its circuit breaker, and to the limits it used.
    Finish(Complete, CallReport, RpcReplyPort<Result<(), LeaseError>>),
    /// Extends the concurrency holds of a lease; says when its last hold will end.
    Renew(Renew, RpcReplyPort<Result<Moment, LeaseError>>),
    /// Does what a provider asks of a limit.
    Restrain(Key, Restraint, RpcReplyPort<Result<(), BackendError>>),
    /// One lease.
    Lease(LeaseId, RpcReplyPort<Result<Option<LeaseView>, BackendError>>),
    /// One limit.
    Usage(Key, RpcReplyPort<Result<Option<Usage>, BackendError>>),
    /// Look through the books; it sends this to itself.
    Sweep,
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct BackendActor;

impl Actor for BackendActor {
    type Msg = BackendMessage;
    type State = Arc<Runtime>;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<Arc<Runtime>, ActorProcessingErr> {
        myself.send_after(SWEEP_INTERVAL, || BackendMessage::Sweep);
        Ok(runtime)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: BackendMessage,
        runtime: &mut Arc<Runtime>,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(message, BackendMessage::Sweep) {
            sweep(runtime).await;
            myself.send_after(SWEEP_INTERVAL, || BackendMessage::Sweep);
            return Ok(());
        }
        let place = Arc::clone(&runtime.backend_places).acquire_owned().await?;
        runtime.backend_actor.left();
        let mut answering = Box::pin(answer(Arc::clone(runtime), message));
        if answering.as_mut().now_or_never().is_none() {
            tokio::spawn(async move {
                answering.await;
                drop(place);
            });
        }
        Ok(())
    }

    /// What is under way is answered before the actor is gone.
    async fn post_stop(&self, _: ActorRef<Self::Msg>, runtime: &mut Arc<Runtime>) -> Result<(), ActorProcessingErr> {
        let _all = runtime.backend_places.acquire_many(UNDER_WAY_MAX as u32).await?;
        Ok(())
    }
}

/// A caller that gave up has no use for the answer, which `send` then returns: it ends by its own expiry.
async fn answer(runtime: Arc<Runtime>, message: BackendMessage) {
    let backend = &runtime.backend;
    match message {
        BackendMessage::Reserve(request, reply) => {
            let granted = runtime.reserve(&request).await;
            drop(reply.send(granted.map(|granted| runtime.detach(granted))));
        }
        BackendMessage::Peek(amounts, reply) => drop(reply.send(runtime.peek(&amounts).await)),
        BackendMessage::Complete(request, reply) => drop(reply.send(runtime.complete(&request).await)),
        BackendMessage::Finish(request, report, reply) => {
            drop(reply.send(runtime.finish_by_id(&request, &report).await));
        }
        BackendMessage::Renew(request, reply) => drop(reply.send(backend.renew(&request).get().await)),
        BackendMessage::Restrain(key, restraint, reply) => {
            drop(reply.send(backend.restrain(&key, restraint).get().await));
        }
        BackendMessage::Lease(lease_id, reply) => drop(reply.send(backend.lease(lease_id).get().await)),
        BackendMessage::Usage(key, reply) => drop(reply.send(backend.usage(&key).get().await)),
        BackendMessage::Sweep => sweep(&runtime).await,
    }
}

/// Looks through the books for what is over.
async fn sweep(runtime: &Runtime) {
    for _ in 0..SWEEP_STEPS_MAX {
        if !runtime.backend.sweep() {
            break;
        }
        tokio::task::yield_now().await;
    }
}
