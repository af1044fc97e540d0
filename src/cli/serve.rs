//! `tollgate serve`: runs the server until a signal, then drains it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::check::{mistakes, unfit};
use super::{Exit, Failure, log};
use crate::Tollgate;
use crate::api::{ApiState, ServeOptions};
use crate::config::{BackendKind, Config, Environment, Origin};

/// What is served, and how.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// The configuration; else ./tollgate.toml, ./config/tollgate.toml, the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on, in place of `server.listen`
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where limits.json is kept, in place of `registry.data_dir`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the books are kept, in place of `backend.kind`
    #[arg(long, value_parser = parse_backend)]
    backend: Option<BackendKind>,
}

/// Reads the name of a backend.
pub(super) fn parse_backend(text: &str) -> Result<BackendKind, String> {
    let known = BackendKind::CHOICES.iter().find(|(name, _)| *name == text);
    let names: Vec<_> = BackendKind::CHOICES.iter().map(|(name, _)| format!("`{name}`")).collect();
    known.map(|(_, kind)| *kind).ok_or_else(|| format!("no such backend; use {}", names.join(" or ")))
}

impl ServeArgs {
    fn load(&self) -> Result<(Config, Origin), Failure> {
        let (mut config, origin) =
            Config::load(self.config.as_deref(), &Environment::from_process()).map_err(mistakes)?;
        config.server.listen = self.listen.unwrap_or(config.server.listen);
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(kind) = self.backend {
            config.choose_backend(kind);
        }
        config.check_exposure().map_err(unfit)?;
        config.check_backend().map_err(unfit)?;
        Ok((config, origin))
    }
}

pub(super) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let (config, origin) = args.load()?;
    log::start(&config.telemetry)?;
    let mut signals = Signals::listen()?;
    let listener = bind(config.server.listen).await?;
    let address =
        listener.local_addr().map_err(|error| Failure::runtime(format!("the socket has no address: {error}")))?;
    // A configuration that is read again must do for where it is served in fact.
    let args = ServeArgs { listen: Some(address), ..args };
    let tollgate = start(&config).await?;
    let api = tollgate.api(options(&config));
    tracing::info!(%address, config = %origin, data_dir = %config.data_dir.display(), backend = tollgate.status().backend.kind, "serving");
    let (tell_stop, stop) = oneshot::channel();
    let served = async {
        // Nobody tells it to stop any more: it stops as well.
        let served = tollgate.serve_with(listener, api.clone(), async { drop(stop.await) }).await;
        tollgate.shutdown().await;
        tollgate.ended().await;
        served
    };
    let stopped_at_once = async {
        signals.stop_requested(&args, &api, &tollgate).await;
        let _ = tell_stop.send(()); // It has ended by itself, and is about to say so.
        signals.stop().await;
    };
    tokio::select! {
        served = served => served.map_err(|error| Failure::runtime(error.to_string()))?,
        // A second signal does not wait for those who are still being answered.
        () = stopped_at_once => return Err(Failure::runtime("stopped by a second signal before all was drained")),
    }
    tracing::info!("stopped");
    Ok(Exit::Done)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::runtime(format!("cannot listen on `{address}`: {error}"))
            .with_hint("stop what listens there, or choose another address with `--listen`")
    })
}

async fn start(config: &Config) -> Result<Tollgate, Failure> {
    let started = Tollgate::builder().name("tollgate").config(config).start().await;
    started.map_err(|error| Failure::runtime(error.to_string()))
}

fn options(config: &Config) -> ServeOptions {
    ServeOptions {
        max_connections: config.server.max_connections,
        request_timeout: config.server.request_timeout,
        max_wait: config.server.max_wait,
        shutdown_grace: config.server.shutdown_grace,
        access: config.auth.clone(),
        ..ServeOptions::default()
    }
}

/// The signals a server hears.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(|error| Failure::runtime(format!("cannot hear signals: {error}")));
        let (interrupt, terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hang_up: hear(SignalKind::hangup())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Resolves at the signal to stop; until then each hang-up reads the configuration again.
    async fn stop_requested(&mut self, args: &ServeArgs, api: &ApiState, tollgate: &Tollgate) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                _ = self.hang_up.recv() => reload(args, api, tollgate),
            }
        }
        tracing::info!("stopping: requests in flight are still answered");
    }
}

/// Puts the tokens of the configuration in force, and says where its limits differ from those that are. What else it
/// says takes a restart. With a mistake in it, everything stays as it was.
fn reload(args: &ServeArgs, api: &ApiState, tollgate: &Tollgate) {
    match args.load() {
        Ok((config, origin)) => {
            api.replace_access(config.auth);
            tollgate.report_difference(&config.limits);
            if let Some(preset) = &config.runtime.preset {
                tollgate.report_difference(preset.definitions());
            }
            tracing::info!(config = %origin, "read the configuration again: its tokens are in force");
        }
        Err(failure) => tracing::error!("the configuration has mistakes, and nothing was changed: {failure}"),
    }
}
