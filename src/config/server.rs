//! What only the server is told; a host that embeds the runtime does without.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::secret::Secret;

/// The HTTP face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether anybody who can reach it may use it.
    pub allow_insecure: bool,
    /// The most connections that are open at once.
    pub max_connections: usize,
    /// The longest that any request but an acquire may take.
    pub request_timeout: Duration,
    /// The longest that an acquire may ask to wait.
    pub max_wait: Duration,
    /// How long requests in flight may take to end after the signal to stop.
    pub shutdown_grace: Duration,
}

/// The tokens of each scope. Without any, everybody may do everything.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// May change limits and breakers.
    pub admin: Vec<Secret>,
    /// May reserve and complete.
    pub client: Vec<Secret>,
}

/// What keeps the balances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendKind {
    /// The process's own memory.
    #[default]
    Memory,
    /// A cluster of TigerBeetle.
    TigerBeetle,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One object per line.
    Json,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// How it looks.
    pub log_format: LogFormat,
    /// What is in it, as `tracing` filters are written.
    pub log_filter: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allow_insecure: false,
            max_connections: 1_024,
            request_timeout: Duration::from_secs(30),
            max_wait: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log_format: LogFormat::default(), log_filter: "info".to_owned() }
    }
}

impl BackendKind {
    /// Every kind and its name.
    pub const CHOICES: [(&'static str, Self); 2] = [("memory", Self::Memory), ("tigerbeetle", Self::TigerBeetle)];
}

impl LogFormat {
    /// Every format and its name.
    pub const CHOICES: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("pretty", Self::Pretty), ("json", Self::Json)];
}
