//! Scheduler: supervises the dispatcher.
//! Owns: that the dispatcher runs. Parent: none; the host owns it.
//! Restarts: no; if its child dies too often it fails, and the scheduler ends with an answer for every job.
//! Bound: only its owner sends to it. Talks to: its child.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use super::dispatcher::Dispatcher;
use super::shared::Shared;
use crate::actors::{Children, supervision_ended};
use crate::policy::ChildExit;

/// How long the dispatcher may take to end what it has begun.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the supervisor can be told, by its owner and by itself.
#[derive(Debug)]
pub(super) enum SupervisorMessage {
    /// The delay before a restart is over.
    Restart,
    /// Ends the dispatcher, then the supervisor.
    Stop(RpcReplyPort<()>),
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct Supervisor;

/// The actor's state.
pub(super) struct SupervisorState {
    shared: Arc<Shared>,
    children: Children<()>,
    is_stopping: bool,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        shared: Arc<Shared>,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let mut state = SupervisorState { shared, children: Children::new("dispatchers"), is_stopping: false };
        state.start(&myself).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Restart if !state.is_stopping => state.start(&myself).await,
            SupervisorMessage::Restart => Ok(()),
            SupervisorMessage::Stop(reply) => {
                state.shared.supervisor.left();
                state.is_stopping = true;
                if let Some(dispatcher) = state.shared.dispatcher.actor() {
                    let _ = dispatcher.stop_and_wait(None, Some(STOP_TIMEOUT)).await;
                }
                let _ = reply.send(());
                myself.stop(None);
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(ended) = supervision_ended(&event) else { return Ok(()) };
        if state.children.remove(ended.id).is_none() || state.is_stopping {
            return Ok(());
        }
        state.shared.dispatcher.disconnect();
        state.schedule(&myself, ended.exit, &ended.reason)
    }
}

impl SupervisorState {
    async fn start(&mut self, myself: &ActorRef<SupervisorMessage>) -> Result<(), ActorProcessingErr> {
        let shared = &self.shared;
        let name = Some(shared.dispatcher.name().to_owned());
        match Actor::spawn_linked(name, Dispatcher, Arc::clone(shared), myself.get_cell()).await {
            Ok((dispatcher, _)) => {
                self.children.insert(dispatcher.get_id(), ());
                shared.dispatcher.connect(dispatcher, shared.clock.now());
                shared.woken();
                shared.wake();
                Ok(())
            }
            Err(error) => self.schedule(myself, ChildExit::Failed, &error.to_string()),
        }
    }

    fn schedule(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        exit: ChildExit,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.shared.clock.now();
        let restart = || SupervisorMessage::Restart;
        self.children.schedule(myself, now, "dispatcher", (exit, reason), restart).map(drop)
    }
}
