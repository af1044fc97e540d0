//! Root: supervises the parts of one runtime, one for one.
//! Owns: which parts run. Parent: none; the host or the daemon owns it.
//! Restarts: no; if its children die too often it fails, and the runtime with it.
//! Bound: only its owner sends to it. Talks to: its children.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, Message, RpcReplyPort, SpawnErr, SupervisionEvent};

use super::backend::BackendActor;
use super::breakers::BreakersActor;
use super::limiters::LimitersActor;
use super::mailbox::Mailbox;
use super::registry::Registry;
use super::runtime::Runtime;
use super::supervision::{self, Children, Ended};
use crate::policy::ChildExit;

/// How long a part may take to finish what it has begun.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A part of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The definitions.
    Registry,
    /// The books.
    Backend,
    /// The limits and their lines.
    Limiters,
    /// The circuit breakers.
    Breakers,
    /// The HTTP server.
    #[cfg(feature = "server")]
    Api,
}

/// What the root can be told, by its owner and by itself.
#[derive(Debug)]
pub enum RootMessage {
    /// Serves HTTP, until [`RootMessage::StopApi`].
    #[cfg(feature = "server")]
    StartApi(super::api::ApiStart, RpcReplyPort<Result<(), String>>),
    /// Stops serving HTTP, after the requests that are being answered.
    #[cfg(feature = "server")]
    StopApi(RpcReplyPort<()>),
    /// The delay before a restart is over.
    Restart(Part),
    /// Ends all parts in order, then the root.
    Stop(RpcReplyPort<()>),
}

/// The actor's behaviour.
#[derive(Debug)]
pub(crate) struct Root;

/// The actor's state.
pub(crate) struct RootState {
    runtime: Arc<Runtime>,
    children: Children<Part>,
    #[cfg(feature = "server")]
    api: Option<super::api::ApiStart>,
    is_stopping: bool,
}

impl Actor for Root {
    type Msg = RootMessage;
    type State = RootState;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<RootState, ActorProcessingErr> {
        let mut state = RootState {
            runtime,
            children: Children::new("actors"),
            #[cfg(feature = "server")]
            api: None,
            is_stopping: false,
        };
        for part in [Part::Backend, Part::Registry, Part::Limiters, Part::Breakers] {
            state.start(&myself, part).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: RootMessage,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            #[cfg(feature = "server")]
            RootMessage::StartApi(start, reply) => {
                state.runtime.root.left();
                let started = state.start_api(&myself, start).await;
                let _ = reply.send(started);
            }
            #[cfg(feature = "server")]
            RootMessage::StopApi(reply) => {
                state.runtime.root.left();
                state.stop_api().await;
                let _ = reply.send(());
            }
            RootMessage::Restart(part) if !state.is_stopping => return state.restart(&myself, part).await,
            RootMessage::Restart(_) => {}
            RootMessage::Stop(reply) => {
                state.runtime.root.left();
                state.stop().await;
                let _ = reply.send(());
                myself.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(ended) = supervision::ended(&event) else { return Ok(()) };
        match state.children.remove(ended.id) {
            Some(part) if !state.is_stopping => state.child_ended(&myself, part, &ended),
            _ => Ok(()),
        }
    }
}

impl RootState {
    async fn start(&mut self, myself: &ActorRef<RootMessage>, part: Part) -> Result<(), ActorProcessingErr> {
        let runtime = Arc::clone(&self.runtime);
        let shared = || Arc::clone(&runtime);
        let id = match part {
            Part::Registry => {
                let id = self.spawn(myself, &runtime.registry, Registry, shared()).await?;
                runtime.changed_elsewhere.tell(); // Of what changed after it had looked.
                id
            }
            Part::Backend => self.spawn(myself, &runtime.backend_actor, BackendActor, shared()).await?,
            Part::Limiters => {
                let id = self.spawn(myself, &runtime.limiters.mailbox, LimitersActor, shared()).await?;
                runtime.limiters.ensure_wanted();
                id
            }
            Part::Breakers => {
                let id = self.spawn(myself, &runtime.breakers.mailbox, BreakersActor, shared()).await?;
                runtime.breakers.ensure_all();
                id
            }
            #[cfg(feature = "server")]
            Part::Api => {
                let Some(start) = self.api.clone() else { return Ok(()) };
                self.spawn(myself, &runtime.api, super::api::Api, start).await?
            }
        };
        self.children.insert(id, part);
        Ok(())
    }

    /// Starts an actor as a child, and points its mailbox at it.
    async fn spawn<A: Actor>(
        &self,
        myself: &ActorRef<RootMessage>,
        mailbox: &Mailbox<A::Msg>,
        behaviour: A,
        arguments: A::Arguments,
    ) -> Result<ActorId, SpawnErr> {
        let name = Some(mailbox.name().to_owned());
        let (actor, _) = Actor::spawn_linked(name, behaviour, arguments, myself.get_cell()).await?;
        let id = actor.get_id();
        mailbox.connect(actor, self.runtime.clock.now());
        Ok(id)
    }

    fn child_ended(
        &mut self,
        myself: &ActorRef<RootMessage>,
        part: Part,
        ended: &Ended,
    ) -> Result<(), ActorProcessingErr> {
        match part {
            Part::Registry => self.runtime.registry.disconnect(),
            Part::Backend => self.runtime.backend_actor.disconnect(),
            Part::Limiters => self.runtime.limiters.mailbox.disconnect(),
            Part::Breakers => self.runtime.breakers.mailbox.disconnect(),
            #[cfg(feature = "server")]
            Part::Api => self.runtime.api.disconnect(),
        }
        self.schedule(myself, part, ended.exit, &ended.reason)
    }

    fn schedule(
        &mut self,
        myself: &ActorRef<RootMessage>,
        part: Part,
        exit: ChildExit,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        let (now, restart) = (self.runtime.clock.now(), move || RootMessage::Restart(part));
        let child = format_args!("{part:?}");
        let scheduled = self.children.schedule(myself, now, child, (exit, reason), restart);
        scheduled.map(drop).inspect_err(|_| self.runtime.close())
    }

    async fn restart(&mut self, myself: &ActorRef<RootMessage>, part: Part) -> Result<(), ActorProcessingErr> {
        match self.start(myself, part).await {
            Ok(()) => Ok(()),
            Err(error) => self.schedule(myself, part, ChildExit::Failed, &error.to_string()),
        }
    }

    /// In the order of who needs whom; every caller gets an answer before the part that gives it is gone.
    async fn stop(&mut self) {
        self.is_stopping = true;
        #[cfg(feature = "server")]
        self.stop_api().await;
        self.runtime.close();
        stop_supervisor(&self.runtime.limiters.mailbox).await;
        stop_supervisor(&self.runtime.breakers.mailbox).await;
        // What is queued for these is still done.
        if let Some(registry) = self.runtime.registry.actor() {
            let _ = registry.drain_and_wait(Some(STOP_TIMEOUT)).await;
        }
        self.runtime.registry.disconnect();
        if let Some(backend) = self.runtime.backend_actor.actor() {
            let _ = backend.drain_and_wait(Some(STOP_TIMEOUT)).await;
        }
        self.runtime.backend_actor.disconnect();
    }

    #[cfg(feature = "server")]
    async fn start_api(&mut self, myself: &ActorRef<RootMessage>, start: super::api::ApiStart) -> Result<(), String> {
        if self.api.is_some() {
            return Err("this runtime serves HTTP already; stop that server first".to_owned());
        }
        self.api = Some(start);
        let started = self.start(myself, Part::Api).await;
        started.map_err(|error| {
            self.api = None;
            error.to_string()
        })
    }

    #[cfg(feature = "server")]
    async fn stop_api(&mut self) {
        self.api = None;
        let Some(api) = self.runtime.api.actor() else { return };
        self.children.remove(api.get_id());
        let _ = api.stop_and_wait(None, None).await; // Its own grace bounds it.
        self.runtime.api.disconnect();
    }
}

/// Ends the children of a supervisor, then itself.
async fn stop_supervisor<M: Message>(mailbox: &Mailbox<M>) {
    if let Some(supervisor) = mailbox.actor() {
        supervisor.stop_children_and_wait(None, Some(STOP_TIMEOUT)).await;
        let _ = supervisor.stop_and_wait(None, Some(STOP_TIMEOUT)).await;
    }
    mailbox.disconnect();
}
