//! Breakers: supervises one `circuit_breaker` per breaker.
//! Owns: which breakers have an actor. The breakers are shared state that outlives it, and work without.
//! Parent: root. Restarts: yes; it then starts an actor for every breaker.
//! Lost on restart: nothing but the restart count of its children.
//! Bound: a message for each breaker there may be, and some to spare, taken in the mailbox. Talks to: its children;
//! nobody upward.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::BreakersMessage;
use super::circuit_breaker::CircuitBreaker;
use super::gate::Gate;
use crate::actors::runtime::Runtime;
use crate::actors::supervision::{self, Children, Ended};
use crate::policy::{BreakerName, ChildExit};

/// The supervisor's behaviour.
#[derive(Debug)]
pub(in crate::actors) struct BreakersActor;

/// The supervisor's state.
pub(in crate::actors) struct BreakersState {
    runtime: Arc<Runtime>,
    children: Children<BreakerName>,
}

impl Actor for BreakersActor {
    type Msg = BreakersMessage;
    type State = BreakersState;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<BreakersState, ActorProcessingErr> {
        let mut state = BreakersState { runtime, children: Children::new("the actors of circuit breakers") };
        for gate in state.runtime.breakers.all() {
            gate.mailbox().disconnect(); // A child of an earlier incarnation was killed with it.
            state.start(&myself, &gate).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: BreakersMessage,
        state: &mut BreakersState,
    ) -> Result<(), ActorProcessingErr> {
        let name = match message {
            BreakersMessage::Ensure(name) => {
                state.runtime.breakers.mailbox.left();
                name
            }
            BreakersMessage::Restart(name) => name,
        };
        // It may have made room for another in the meantime, or have an actor already.
        let gate = state.runtime.breakers.peek(&name).filter(|gate| gate.mailbox().actor().is_none());
        match gate {
            Some(gate) => state.start(&myself, &gate).await,
            None => Ok(()),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut BreakersState,
    ) -> Result<(), ActorProcessingErr> {
        match supervision::ended(&event) {
            Some(ended) => state.child_ended(&myself, &ended),
            None => Ok(()),
        }
    }
}

impl BreakersState {
    async fn start(&mut self, myself: &ActorRef<BreakersMessage>, gate: &Arc<Gate>) -> Result<(), ActorProcessingErr> {
        let arguments = (Arc::downgrade(gate), self.runtime.clock.clone());
        let actor_name = Some(gate.mailbox().name().to_owned());
        match Actor::spawn_linked(actor_name, CircuitBreaker, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.children.insert(actor.get_id(), gate.name().clone());
                gate.connect(actor);
                Ok(())
            }
            // One breaker whose actor does not start must not end all the others.
            Err(error) => self.schedule(myself, gate.name(), ChildExit::Failed, &error.to_string()),
        }
    }

    fn child_ended(&mut self, myself: &ActorRef<BreakersMessage>, ended: &Ended) -> Result<(), ActorProcessingErr> {
        let Some(name) = self.children.remove(ended.id) else { return Ok(()) };
        if self.runtime.is_closing() {
            return Ok(());
        }
        self.schedule(myself, &name, ended.exit, &ended.reason)
    }

    fn schedule(
        &mut self,
        myself: &ActorRef<BreakersMessage>,
        name: &BreakerName,
        exit: ChildExit,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.runtime.clock.now();
        let of = name.clone();
        if self.children.schedule(myself, now, name, (exit, reason), move || BreakersMessage::Restart(of))?
            && let Some(gate) = self.runtime.breakers.peek(name)
        {
            gate.mailbox().disconnect();
        }
        Ok(())
    }
}
