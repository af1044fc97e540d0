//! What every request of the HTTP face shares, and the host's handle on it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::request_id::RequestIds;
use super::traffic::Traffic;
use crate::config::AuthConfig;
use crate::tollgate::Tollgate;

/// Bounds of the HTTP face.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The most connections that are open at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long a request's head may take to arrive, and a connection that is kept alive may stay idle. Clients let go
    /// of theirs after 5 seconds; with less, requests of theirs may get no answer.
    pub header_timeout: Duration,
    /// How long a body may take to arrive, and then its answer to be made.
    pub request_timeout: Duration,
    /// The longest that an acquire may ask to wait.
    pub max_wait: Duration,
    /// How long requests in flight may take to end after the signal to stop.
    pub shutdown_grace: Duration,
    /// The tokens of each scope.
    pub access: AuthConfig,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_wait: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(10),
            access: AuthConfig::default(),
        }
    }
}

/// What the HTTP face works with. Cheap to clone; a host keeps one to replace the tokens.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

struct Shared {
    tollgate: Tollgate,
    options: ServeOptions,
    access: RwLock<Arc<AuthConfig>>,
    traffic: Traffic,
    request_ids: RequestIds,
    is_closing: watch::Sender<bool>,
}

impl ApiState {
    /// The face of `tollgate`.
    #[must_use]
    pub fn new(tollgate: Tollgate, options: ServeOptions) -> Self {
        Self(Arc::new(Shared {
            tollgate,
            access: RwLock::new(Arc::new(options.access.clone())),
            options,
            traffic: Traffic::default(),
            request_ids: RequestIds::start(),
            is_closing: watch::Sender::new(false),
        }))
    }

    /// Puts other tokens in force. Requests that were let in are not stopped.
    pub fn replace_access(&self, access: AuthConfig) {
        *self.0.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }

    pub(super) fn access(&self) -> Arc<AuthConfig> {
        self.0.access.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tollgate(&self) -> &Tollgate {
        &self.0.tollgate
    }

    pub(super) fn options(&self) -> &ServeOptions {
        &self.0.options
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    pub(super) fn request_ids(&self) -> &RequestIds {
        &self.0.request_ids
    }

    /// Tells every request whether the server is about to stop.
    pub(super) fn set_closing(&self, is_closing: bool) {
        self.0.is_closing.send_replace(is_closing);
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.0.is_closing.borrow()
    }

    /// Ends when the server is about to stop.
    pub(super) async fn closing(&self) {
        let mut is_closing = self.0.is_closing.subscribe();
        // The sender is in `self`, so it is not gone.
        let _ = is_closing.wait_for(|is_closing| *is_closing).await;
    }
}
