//! `tollgate check`: reads the configuration as `serve` would, and starts nothing.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, output};
use crate::config::{Config, ConfigErrors, Environment};

/// What to check.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// The configuration; else ./tollgate.toml, ./config/tollgate.toml, the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let (config, origin) = Config::load(args.config.as_deref(), &Environment::from_process()).map_err(mistakes)?;
    config.check_exposure().map_err(unfit)?;
    config.check_backend().map_err(unfit)?;
    super::log::check_filter(&config.telemetry)?;
    output::print(&format!("{origin}: no mistakes, {} limits\n", config.limits.len()))?;
    Ok(Exit::Done)
}

/// All mistakes at once, each a block of its own with its place and what to do.
pub(super) fn mistakes(errors: ConfigErrors) -> Failure {
    let blocks = errors.to_string();
    Failure::usage(blocks.strip_prefix("error: ").unwrap_or(&blocks))
}

/// What is written well, and does not do.
pub(super) fn unfit(mistake: crate::policy::Mistake) -> Failure {
    Failure::usage(format!("`{}` {}", mistake.field, mistake.problem)).with_hint(mistake.hint)
}
