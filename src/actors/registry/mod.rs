//! Registry: the definitions of all limits.
//! Owns: the right to change them. They are kept in a store, on disk if there is a data directory, that outlives it.
//! Parent: root. Restarts: yes, with backoff; it then brings the ledger up to date with the store.
//! Lost on restart: queued messages, whose callers learn so at once. A change that was being saved is saved or not.
//! Bound: [`QUEUE_MAX`] messages, taken in the mailbox. Talks to: the ledger, and the limiters (cast).

mod catalog;
mod file;
mod store;

use std::collections::HashSet;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

pub use catalog::{Entry, RegistryError, Status};
pub use file::StoreError;
pub(crate) use store::Store;

use super::runtime::Runtime;
use crate::backends::{Applied, DefinitionTotals, Settled};
use crate::policy::{Definition, KeyPattern, LimitState};

/// The most messages queued for the registry.
pub(super) const QUEUE_MAX: usize = 1_024;

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
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct Registry;

impl Actor for Registry {
    type Msg = RegistryMessage;
    type State = Arc<Runtime>;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<Arc<Runtime>, ActorProcessingErr> {
        // Waits for a save that an earlier incarnation left behind.
        let entries = runtime.store.settled_entries().await;
        for entry in &entries {
            apply(&runtime, entry).await?;
        }
        // What was deleted by an incarnation that died before the ledger knew.
        let saved: HashSet<_> = entries.iter().map(|entry| &entry.definition.pattern).collect();
        for DefinitionTotals { pattern, .. } in runtime.backend.totals().definitions {
            if !saved.contains(&pattern) {
                take_out(&runtime, &pattern).await?;
            }
        }
        Ok(runtime)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: RegistryMessage,
        runtime: &mut Arc<Runtime>,
    ) -> Result<(), ActorProcessingErr> {
        runtime.registry.left();
        // A caller that gave up has no use for the answer; the change stands.
        match message {
            RegistryMessage::Put(definition, reply) => drop(reply.send(put(runtime, definition).await)),
            RegistryMessage::Get(pattern, reply) => drop(reply.send(runtime.store.find(&pattern))),
            RegistryMessage::List(reply) => drop(reply.send(runtime.store.entries())),
            RegistryMessage::Delete(pattern, reply) => drop(reply.send(delete(runtime, pattern).await)),
            RegistryMessage::DecreaseApplied(pattern) => confirm(runtime, &pattern).await,
        }
        Ok(())
    }
}

async fn put(runtime: &Runtime, definition: Definition) -> Result<LimitState, RegistryError> {
    let entry = runtime.store.change(move |catalog, max| catalog.put(definition, max)).await?;
    apply(runtime, &entry).await
}

/// Brings the ledger up to date with `entry`, and the entry with what the ledger made of it.
async fn apply(runtime: &Runtime, entry: &Entry) -> Result<LimitState, RegistryError> {
    let unavailable = |error: crate::backends::BackendError| RegistryError::Unavailable(error.0);
    let pattern = &entry.definition.pattern;
    let state = match runtime.backend.apply(&entry.wanted()).get().await.map_err(unavailable)? {
        Applied::InForce(state) => state,
        Applied::Superseded { .. } => LimitState::Active,
    };
    if state == LimitState::Active && entry.pending_decrease_to.is_some() {
        mark_applied(runtime, pattern, entry.version).await;
    }
    match pattern.as_key() {
        Some(key) => runtime.limiters.define(key),
        None => runtime.limiters.wake_all(),
    }
    Ok(state)
}

async fn delete(runtime: &Runtime, pattern: KeyPattern) -> Result<Option<Entry>, RegistryError> {
    let gone = pattern.clone();
    let deleted = runtime.store.change(move |catalog, _| Ok(catalog.delete(&gone))).await?;
    take_out(runtime, &pattern).await?;
    Ok(deleted)
}

/// Takes a definition that is no longer saved out of the ledger.
async fn take_out(runtime: &Runtime, pattern: &KeyPattern) -> Result<(), RegistryError> {
    let removed = runtime.backend.remove(pattern).get().await;
    removed.map_err(|error| RegistryError::Unavailable(error.0))?;
    match pattern.as_key() {
        Some(key) => runtime.limiters.undefine(&key),
        None => runtime.limiters.wake_all(),
    }
    Ok(())
}

/// Marks a decrease as applied, if the ledger says so: the message may be late.
async fn confirm(runtime: &Runtime, pattern: &KeyPattern) {
    let pending = runtime.store.find(pattern).filter(|entry| entry.pending_decrease_to.is_some());
    let (Some(entry), Some(key)) = (pending, pattern.as_key()) else { return };
    if runtime.backend.settle(&key).get().await != Ok(Settled::Active) {
        return;
    }
    mark_applied(runtime, pattern, entry.version).await;
}

/// Records that a capacity was lowered. Where that fails it is in force all the same: a restart lowers it again.
async fn mark_applied(runtime: &Runtime, pattern: &KeyPattern, version: u64) {
    let applied = pattern.clone();
    let marked = runtime.store.change(move |catalog, _| Ok(catalog.applied(&applied, version))).await;
    if let Err(error) = marked {
        tracing::warn!(key = %pattern, %error, "could not record that a capacity was lowered");
    }
}
