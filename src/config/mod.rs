//! The configuration: TOML and environment variables in, one checked value or every mistake at once out.
//!
//! A mistake names its key path, its line or variable, what is wrong, and what to do. What an embedding host sets too
//! is in [`Settings`]; the rest is the server's.

mod backend;
mod breakers;
mod client;
mod environment;
mod errors;
mod file;
mod limits;
mod money;
mod reader;
mod scalar;
mod secret;
mod section;
mod sections;
mod server;
mod settings;
mod typed;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use environment::{
    ADMIN_TOKEN_VARIABLE, CLIENT_TOKEN_VARIABLE, Environment, SERVER_VARIABLE, TOKEN_VARIABLE, VARIABLE_PREFIX,
};
pub use errors::{ConfigErrors, Fault, Place};
pub use secret::Secret;
pub use server::{AuthConfig, BackendKind, LogFormat, ServerConfig, TelemetryConfig};
pub use settings::{BackendSettings, MemorySettings, Settings, TigerBeetleSettings};

use crate::client::ClientSettings;
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
    /// `[backend.tigerbeetle]`: how it is reached, also where it is not chosen.
    pub tigerbeetle: TigerBeetleSettings,
    /// `[[limits]]`: what an empty registry starts with.
    pub limits: Vec<Definition>,
    /// `[client]`: for hosts, which need not run where the limits are kept.
    pub client: ClientSettings,
    /// `[telemetry]`: the log.
    pub telemetry: TelemetryConfig,
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
            tigerbeetle: TigerBeetleSettings::default(),
            limits: Vec::new(),
            client: ClientSettings::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Defaults => f.write_str("built-in defaults"),
        }
    }
}
