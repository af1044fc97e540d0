//! Api: the HTTP server of a runtime.
//! Owns: the task that accepts connections, which ends with it. The listening socket outlives it.
//! Parent: root. Restarts: yes, with backoff, on the same socket. Lost on restart: open connections.
//! Bound: it takes no messages. Talks to: nobody; requests go through the `Tollgate` handle.

use std::net::TcpListener;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{self, ApiState};

/// What the server can be told.
#[derive(Debug)]
pub enum ApiMessage {
    /// The task that serves has ended by itself.
    Ended,
}

/// What a server needs to start, and to start again.
#[derive(Clone)]
pub struct ApiStart {
    pub(crate) listener: Arc<TcpListener>,
    pub(crate) state: ApiState,
}

impl std::fmt::Debug for ApiStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiStart").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct Api;

/// The actor's state.
pub(super) struct ApiActorState {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for ApiActorState {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Actor for Api {
    type Msg = ApiMessage;
    type State = ApiActorState;
    type Arguments = ApiStart;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        start: ApiStart,
    ) -> Result<ApiActorState, ActorProcessingErr> {
        let listener = start.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await; // Also when the actor was killed, and its end of the channel with it.
            };
            api::run(listener, start.state, shutdown).await;
            let _ = myself.cast(ApiMessage::Ended);
        });
        Ok(ApiActorState { task, stop: Some(stop) })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: ApiMessage,
        _: &mut ApiActorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ApiMessage::Ended => Err("the HTTP server ended by itself".into()),
        }
    }

    /// Lets the requests that are being answered end; the server's own grace bounds that.
    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut ApiActorState) -> Result<(), ActorProcessingErr> {
        if let Some(stop) = state.stop.take() {
            let _ = stop.send(());
        }
        (&mut state.task).await.map_err(Into::into)
    }
}
