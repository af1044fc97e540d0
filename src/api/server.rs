//! The accept loop: bounded in connections, in the time a head may take, and in how long it takes to stop.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};

use super::router::router;
use super::state::ApiState;

/// The most of a request that is buffered, its head included.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// The pause after a connection could not be accepted, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long requests that were sent before the server began to stop may take to arrive.
const CLOSING_QUIET: Duration = Duration::from_millis(100);

/// Serves until `shutdown` ends, then lets requests in flight end. Dropping the future closes every connection at once.
pub(crate) async fn run(listener: TcpListener, state: ApiState, shutdown: impl Future<Output = ()>) {
    state.set_closing(false);
    let router = router(state.clone());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        state.traffic().set_connections(connections.len());
        let has_room = connections.len() < state.options().max_connections;
        tokio::select! {
            () = &mut shutdown => break,
            stream = accept(&listener), if has_room => {
                connections.spawn(serve(stream, router.clone(), state.clone()));
            }
            Some(ended) = connections.join_next() => tell_panic(ended),
        }
    }
    accept_waiting(listener, &mut connections, &router, &state);
    state.set_closing(true);
    drain(connections, state.options().shutdown_grace).await;
    state.traffic().set_connections(0);
}

/// Closes the listener. Who has connected before is served: the system would reset their connections.
fn accept_waiting(listener: TcpListener, connections: &mut JoinSet<()>, router: &Router, state: &ApiState) {
    // Of the system itself, because tokio learns of a connection only later.
    let Ok(listener) = listener.into_std() else { return };
    while connections.len() < state.options().max_connections {
        let Ok((stream, _)) = listener.accept() else { return };
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            connections.spawn(serve(stream, router.clone(), state.clone()));
        }
    }
}

async fn drain(mut connections: JoinSet<()>, grace: Duration) {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            tell_panic(ended);
        }
    };
    if tokio::time::timeout(grace, all_ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time, their connections are closed");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client gave up before it was its turn.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router, state: ApiState) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.options().header_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = quiet_after_closing(&state) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Ends when the server is about to stop and what was sent to it before has arrived: an idle connection is closed then,
/// and a request that is on its way would be lost with it.
async fn quiet_after_closing(state: &ApiState) {
    state.closing().await;
    tokio::time::sleep(CLOSING_QUIET).await;
}

fn tell_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request panicked, its connection is closed");
    }
}
