//! Serving a runtime over HTTP, with the feature `server`.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::Tollgate;
use crate::actors::{ApiStart, RootMessage};
use crate::api::{ApiState, ServeOptions};

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve HTTP: {0}")]
pub struct ServeError(String);

impl Tollgate {
    /// Serves HTTP on `listener` until `shutdown` resolves, then lets the requests in flight end. The runtime goes
    /// on; end it with [`Tollgate::shutdown`].
    ///
    /// # Errors
    /// If the listener cannot be used, or the runtime serves HTTP already or has ended.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        self.serve_with(listener, self.api(ServeOptions::default()), shutdown).await
    }

    /// The HTTP face with other bounds and tokens, for [`Self::serve_with`].
    #[must_use]
    pub fn api(&self, options: ServeOptions) -> ApiState {
        // Without the owner: a server does not keep the runtime that it belongs to alive.
        ApiState::new(Self { runtime: Arc::clone(&self.runtime), _owner: None }, options)
    }

    /// The same as [`Self::serve`] with an HTTP face of your own making.
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub async fn serve_with(
        &self,
        listener: TcpListener,
        state: ApiState,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let listener = Arc::new(listener.into_std().map_err(|error| ServeError(error.to_string()))?);
        let start = |reply| RootMessage::StartApi(ApiStart { listener, state }, reply);
        let started = self.runtime.root.call(start).await.map_err(|error| ServeError(error.to_string()))?;
        started.map_err(ServeError)?;
        tokio::select! {
            () = shutdown => {}
            () = self.ended() => return Err(ServeError("the runtime has ended".to_owned())),
        }
        if let Some(root) = self.runtime.root.actor() {
            // Bounded by the server's own grace, which may be longer than a call may take.
            let _ = root.call(RootMessage::StopApi, None).await;
        }
        Ok(())
    }
}
