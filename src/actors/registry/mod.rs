//! Registry: the definitions of all limits.
//! Owns: the right to change them. They are kept in a store, on disk if there is a data directory, that outlives it.
//! Parent: root. Restarts: yes, with backoff; it then brings the ledger up to date with the store. What the ledger does
//! not take, because it is away, is tried again until it does.
//! Lost on restart: queued messages, whose callers learn so at once. A change that was being saved is saved or not.
//! Bound: [`QUEUE_MAX`] messages, taken in the mailbox. Talks to: the ledger, which also tells it what other servers
//! change, and the limiters (cast).

mod catalog;
mod error;
mod file;
mod ledger;
mod standing;
mod store;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::AbortHandle;

pub use catalog::{Entry, Status};
pub use error::RegistryError;
pub use file::StoreError;
pub(crate) use file::read_definitions;
pub(crate) use store::Store;

use super::runtime::Runtime;
use crate::backends::BackendError;
use crate::policy::{Backoff, Definition, KeyPattern, LimitState};

/// The most messages queued for the registry.
pub(super) const QUEUE_MAX: usize = 1_024;

/// How long until a ledger that did not take a definition is asked again.
static RETRY: LazyLock<Backoff> = LazyLock::new(|| {
    let ms = Duration::from_millis;
    Backoff::new(ms(250), 200, ms(2_000), ms(250))
});

/// What the registry can be asked.
#[derive(Debug)]
pub enum RegistryMessage {
    /// Defines a limit or changes one: saved first, then in force.
    Put(Definition, RpcReplyPort<Result<LimitState, RegistryError>>),
    /// One definition.
    Get(KeyPattern, RpcReplyPort<Option<Entry>>),
    /// All definitions, in the order of their keys.
    List(RpcReplyPort<Vec<Entry>>),
    /// Takes a definition out; returns what it was.
    Delete(KeyPattern, RpcReplyPort<Result<Option<Entry>, RegistryError>>),
    /// The limit's pending decrease may have been applied.
    DecreaseApplied(KeyPattern),
    /// Another server changed or deleted definitions: the ledger is asked how those that are saved stand.
    ChangedElsewhere,
    /// Try again what the ledger has not taken; it sends this to itself.
    CatchUp,
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct Registry;

/// The actor's state.
pub(super) struct RegistryState {
    runtime: Arc<Runtime>,
    /// How often in a row the ledger has failed to take what is due.
    failures: u32,
    timer: Option<AbortHandle>,
}

impl Actor for Registry {
    type Msg = RegistryMessage;
    type State = RegistryState;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<RegistryState, ActorProcessingErr> {
        // All are looked at now.
        drop(runtime.changed_elsewhere.take());
        // Waits for a save that an earlier incarnation left behind.
        let entries = runtime.store.settled_entries().await;
        let mut patterns: Vec<_> = entries.into_iter().map(|entry| entry.definition.pattern).collect();
        // What was deleted by an incarnation, or a process, that died before the ledger knew.
        patterns.extend(runtime.store.leaving());
        let mut state = RegistryState { runtime, failures: 0, timer: None };
        let caught_up = ledger::catch_up(&state.runtime, patterns).await;
        state.try_again_later(&myself, caught_up);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: RegistryMessage,
        state: &mut RegistryState,
    ) -> Result<(), ActorProcessingErr> {
        let runtime = Arc::clone(&state.runtime);
        if !matches!(message, RegistryMessage::CatchUp) {
            runtime.registry.left();
        }
        // A caller that gave up has no use for the answer; the change stands.
        match message {
            RegistryMessage::Put(definition, reply) => drop(reply.send(ledger::put(&runtime, definition).await)),
            RegistryMessage::Get(pattern, reply) => drop(reply.send(runtime.store.find(&pattern))),
            RegistryMessage::List(reply) => drop(reply.send(runtime.store.entries())),
            RegistryMessage::Delete(pattern, reply) => drop(reply.send(ledger::delete(&runtime, pattern).await)),
            RegistryMessage::DecreaseApplied(pattern) => ledger::confirm(&runtime, &pattern).await,
            RegistryMessage::ChangedElsewhere => {
                let changed = runtime.changed_elsewhere.take();
                let saved = changed.into_iter().filter(|pattern| runtime.store.find(pattern).is_some()).collect();
                let caught_up = ledger::catch_up(&runtime, saved).await;
                state.try_again_later(&myself, caught_up);
            }
            RegistryMessage::CatchUp => {
                state.disarm();
                let caught_up = ledger::catch_up(&runtime, runtime.store.due(ledger::AT_ONCE_MAX)).await;
                state.try_again_later(&myself, caught_up);
            }
        }
        runtime.changed_elsewhere.tell(); // There is room in the queue again.
        // A change that the ledger did not take.
        if state.timer.is_none() && runtime.store.standing_counts().not_in_force != 0 {
            state.arm(&myself, RETRY.delay(0, fastrand::u64(..)));
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut RegistryState) -> Result<(), ActorProcessingErr> {
        state.disarm();
        Ok(())
    }
}

impl RegistryState {
    /// After a try: sees to the next one while something is due.
    fn try_again_later(&mut self, myself: &ActorRef<RegistryMessage>, caught_up: Result<(), BackendError>) {
        let due = self.runtime.store.standing_counts().not_in_force;
        match caught_up {
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(due, %error, "the ledger does not follow all definitions yet, and is asked again");
                }
                self.arm(myself, RETRY.delay(self.failures, fastrand::u64(..)));
                self.failures = self.failures.saturating_add(1);
            }
            Ok(()) if due != 0 => self.arm(myself, Duration::ZERO), // It answers: the next ones.
            Ok(()) if self.failures != 0 => {
                tracing::info!("the ledger follows all definitions again");
                self.failures = 0;
            }
            Ok(()) => {}
        }
    }

    fn arm(&mut self, myself: &ActorRef<RegistryMessage>, after: Duration) {
        self.disarm();
        self.timer = Some(myself.send_after(after, || RegistryMessage::CatchUp).abort_handle());
    }

    fn disarm(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}
