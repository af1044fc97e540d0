//! Limiters: supervises one `rate_limiter` per limit.
//! Owns: which limits have an actor. The lines and the books are shared state that outlives it.
//! Parent: root. Restarts: yes; it then starts an actor for every defined limit and for every line.
//! Lost on restart: nothing but the restart count of its children.
//! Bound: [`super::QUEUE_MAX`] messages, taken in the mailbox. Talks to: its children; nobody upward.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::LimitersMessage;
use super::rate_limiter::{Limiter, RateLimiter};
use crate::actors::runtime::Runtime;
use crate::actors::supervision::{self, Children, Ended};
use crate::policy::{ChildExit, Key};

/// The supervisor's behaviour.
#[derive(Debug)]
pub(in crate::actors) struct LimitersActor;

/// The supervisor's state.
pub(in crate::actors) struct LimitersState {
    runtime: Arc<Runtime>,
    children: Children<Key>,
}

impl Actor for LimitersActor {
    type Msg = LimitersMessage;
    type State = LimitersState;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<LimitersState, ActorProcessingErr> {
        // Children of an earlier incarnation were killed with it.
        let orphans = std::mem::take(&mut *runtime.limiters.table.write().expect("only inserts and removes"));
        // Whoever still waits for one of them gets an actor, which watches it again.
        orphans.keys().for_each(|key| runtime.backend.watch(key, false));
        let mut state = LimitersState { runtime, children: Children::new("rate limiters") };
        for key in state.runtime.limiters.wanted() {
            state.ensure(&myself, &key).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: LimitersMessage,
        state: &mut LimitersState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LimitersMessage::Ensure(key) => {
                state.runtime.limiters.mailbox.left();
                state.ensure(&myself, &key).await
            }
            LimitersMessage::Restart(key) => state.restart(&myself, &key).await,
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut LimitersState,
    ) -> Result<(), ActorProcessingErr> {
        match supervision::ended(&event) {
            Some(ended) => state.child_ended(&myself, &ended),
            None => Ok(()),
        }
    }
}

impl LimitersState {
    async fn ensure(&mut self, myself: &ActorRef<LimitersMessage>, key: &Key) -> Result<(), ActorProcessingErr> {
        match self.runtime.limiters.entry(key) {
            (limiter, true) => self.start(myself, key, &limiter).await,
            (limiter, false) => {
                limiter.wake();
                Ok(())
            }
        }
    }

    async fn start(
        &mut self,
        myself: &ActorRef<LimitersMessage>,
        key: &Key,
        limiter: &Arc<Limiter>,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = (Arc::clone(&self.runtime), key.clone(), Arc::clone(limiter));
        let name = Some(limiter.mailbox.name().to_owned());
        match Actor::spawn_linked(name, RateLimiter, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.children.insert(actor.get_id(), key.clone());
                limiter.connect(actor, self.runtime.clock.now());
                Ok(())
            }
            // One limit that does not start must not end all the others.
            Err(error) => self.schedule(myself, key, ChildExit::Failed, &error.to_string()),
        }
    }

    /// Starts the limit's actor again, unless it was retired in the meantime or runs already.
    async fn restart(&mut self, myself: &ActorRef<LimitersMessage>, key: &Key) -> Result<(), ActorProcessingErr> {
        let limiter = self.runtime.limiters.read_table().get(key).cloned();
        match limiter.filter(|limiter| limiter.mailbox.actor().is_none()) {
            Some(limiter) => self.start(myself, key, &limiter).await,
            None => Ok(()),
        }
    }

    fn child_ended(&mut self, myself: &ActorRef<LimitersMessage>, ended: &Ended) -> Result<(), ActorProcessingErr> {
        let Some(key) = self.children.remove(ended.id) else { return Ok(()) };
        if self.runtime.is_closing() {
            return Ok(());
        }
        self.schedule(myself, &key, ended.exit, &ended.reason)
    }

    fn schedule(
        &mut self,
        myself: &ActorRef<LimitersMessage>,
        key: &Key,
        exit: ChildExit,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.runtime.clock.now();
        let of = key.clone();
        if self.children.schedule(myself, now, key, (exit, reason), move || LimitersMessage::Restart(of))?
            && let Some(limiter) = self.runtime.limiters.read_table().get(key)
        {
            limiter.mailbox.disconnect();
        }
        Ok(())
    }
}
