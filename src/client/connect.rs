//! From settings to a limiter, and to whatever has to run for it.

use std::sync::Arc;

use super::batcher::Batcher;
use super::limiter::Limiter;
use super::local::LocalLimiter;
use super::noop::NoopLimiter;
use super::settings::{ClientMode, ClientSettings, EmbeddedSettings, LimitsSource};
use crate::actors::{StoreError, read_definitions};
use crate::policy::Mistake;
use crate::tollgate::{StartError, Tollgate};

/// A limiter, and what runs for it in this process.
#[derive(Clone)]
pub struct Client {
    limiter: Arc<dyn Limiter>,
    batcher: Option<Batcher>,
    tollgate: Option<Tollgate>,
}

/// Why there is no limiter.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting is mistaken.
    #[error("{0}")]
    Setting(Mistake),
    /// The file with the limits cannot be used.
    #[error(transparent)]
    Limits(#[from] StoreError),
    /// The embedded Tollgate does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The limiter that `settings` describe. A server is not asked before the first request. Must be called on a tokio
/// runtime with timers.
///
/// # Errors
/// A [`ConnectError`].
pub async fn connect(settings: &ClientSettings) -> Result<Client, ConnectError> {
    match &settings.mode {
        ClientMode::Disabled => Ok(Client { limiter: Arc::new(NoopLimiter::new()), batcher: None, tollgate: None }),
        ClientMode::Remote(remote) => {
            let server = server(remote)?;
            if settings.batch.size <= 1 {
                return Ok(Client { limiter: server, batcher: None, tollgate: None });
            }
            let batcher = Batcher::new(server, &settings.batch);
            Ok(Client { limiter: Arc::new(batcher.clone()), batcher: Some(batcher), tollgate: None })
        }
        ClientMode::Embedded(embedded) => {
            let tollgate = start(embedded).await?;
            let limiter = Arc::new(LocalLimiter::new(tollgate.clone()));
            Ok(Client { limiter, batcher: None, tollgate: Some(tollgate) })
        }
    }
}

impl Client {
    /// What a host reserves and completes with.
    #[must_use]
    pub fn limiter(&self) -> Arc<dyn Limiter> {
        Arc::clone(&self.limiter)
    }

    /// The Tollgate of this process, where it is embedded.
    #[must_use]
    pub fn tollgate(&self) -> Option<&Tollgate> {
        self.tollgate.as_ref()
    }

    /// Sends what waits to be sent, or ends the embedded Tollgate.
    pub async fn shutdown(&self) {
        if let Some(batcher) = &self.batcher {
            batcher.shutdown().await;
        }
        if let Some(tollgate) = &self.tollgate {
            tollgate.shutdown().await;
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("tollgate", &self.tollgate).finish_non_exhaustive()
    }
}

async fn start(settings: &EmbeddedSettings) -> Result<Tollgate, ConnectError> {
    let limits = match &settings.limits {
        LimitsSource::Listed(limits) => limits.clone(),
        LimitsSource::File(path) => read_definitions(path)?,
    };
    let builder = Tollgate::builder().settings(settings.runtime.clone());
    Ok(limits.into_iter().fold(builder, |builder, limit| builder.limit(limit)).start().await?)
}

#[cfg(feature = "http-client")]
fn server(settings: &super::settings::RemoteSettings) -> Result<Arc<dyn Limiter>, ConnectError> {
    let limiter = super::http::HttpLimiter::new(settings);
    Ok(Arc::new(limiter.map_err(|mistake| ConnectError::Setting(mistake.under("client")))?))
}

#[cfg(not(feature = "http-client"))]
fn server(_: &super::settings::RemoteSettings) -> Result<Arc<dyn Limiter>, ConnectError> {
    let problem = "is `remote`, which this build does not have";
    let hint = "build with `--features http-client`, or use `embedded`";
    Err(ConnectError::Setting(Mistake::new("client.mode", problem, hint)))
}
