//! The configuration: TOML and environment variables in, one checked value or every mistake at once out.
//!
//! A mistake names its key path, its line or variable, what is wrong, and what to do. What an embedding host sets too
//! is in [`Settings`]; the rest is the server's.

mod environment;
mod errors;
mod file;
mod limits;
mod nearest;
mod reader;
mod scalar;
mod secret;
mod section;
mod sections;
mod settings;
mod typed;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use environment::{ADMIN_TOKEN, CLIENT_TOKEN, Environment, PREFIX, SERVER, TOKEN};
pub use errors::{ConfigErrors, Fault, Place};
pub use secret::Secret;
pub use settings::{MemorySettings, Settings};

use crate::policy::{Definition, Mistake};

/// All that `tollgate serve` is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`: the HTTP face.
    pub server: ServerConfig,
    /// `[auth]`: who may ask.
    pub auth: AuthConfig,
    /// `registry.data_dir`: where state is kept, relative to the working directory.
    pub data_dir: PathBuf,
    /// The actor runtime's bounds and delays.
    pub runtime: Settings,
    /// `backend.kind`.
    pub backend: BackendKind,
    /// `[[limits]]`: what an empty registry starts with.
    pub limits: Vec<Definition>,
    /// `[telemetry]`: the log.
    pub telemetry: TelemetryConfig,
}

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

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This file.
    File(PathBuf),
    /// No file was named or found.
    Defaults,
}

impl Config {
    /// Checks `text`, which messages call `origin`. Files it names are relative to `base_dir`.
    ///
    /// # Errors
    /// Every mistake in the text, in the files it names and in the environment.
    pub fn parse(text: &str, origin: &str, base_dir: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        reader::Reader::read(text, origin, environment, |root| sections::read_config(root, base_dir))
    }

    /// Reads the file at `path`; without one `./tollgate.toml`, else `./config/tollgate.toml`, else the defaults.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or that the file cannot be read.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<(Self, Origin), ConfigErrors> {
        Self::load_in(Path::new(""), path, environment)
    }

    fn load_in(dir: &Path, path: Option<&Path>, environment: &Environment) -> Result<(Self, Origin), ConfigErrors> {
        let Some(path) = path.map(Path::to_owned).or_else(|| file::find(dir)) else {
            return Ok((Self::parse("", "built-in defaults", dir, environment)?, Origin::Defaults));
        };
        let name = path.display().to_string();
        let text = file::read_text(&path).map_err(|mistake| ConfigErrors::of_file(name.clone(), mistake))?;
        let base_dir = path.parent().unwrap_or(dir);
        Ok((Self::parse(&text, &name, base_dir, environment)?, Origin::File(path)))
    }

    /// Refuses to serve the world without tokens. To be asked once flags have overridden the address.
    ///
    /// # Errors
    /// A [`Mistake`] that names both ways out.
    pub fn check_exposure(&self) -> Result<(), Mistake> {
        let has_tokens = !self.auth.admin.is_empty() || !self.auth.client.is_empty();
        if self.server.listen.ip().to_canonical().is_loopback() || has_tokens || self.server.allow_insecure {
            return Ok(());
        }
        let problem =
            format!("is `{}`: binding to a non-loopback address without tokens is refused", self.server.listen);
        let hint = "set `auth.admin_tokens_file` and `auth.client_tokens_file`, or `server.allow_insecure = true` if \
                    everybody who can reach it may use it";
        Err(Mistake::new("server.listen", problem, hint))
    }
}

/// What holds when nothing is written.
impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            auth: AuthConfig::default(),
            data_dir: PathBuf::from("data"),
            runtime: Settings::default(),
            backend: BackendKind::default(),
            limits: Vec::new(),
            telemetry: TelemetryConfig::default(),
        }
    }
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
    pub const CHOICES: [(&'static str, Self); 1] = [("memory", Self::Memory)];
}

impl LogFormat {
    /// Every format and its name.
    pub const CHOICES: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("pretty", Self::Pretty), ("json", Self::Json)];
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Defaults => f.write_str("built-in defaults"),
        }
    }
}
