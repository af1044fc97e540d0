//! The server's log: on stderr, pretty on a terminal, else one JSON object per line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::config::{LogFormat, TelemetryConfig};

/// Begins to log.
pub(super) fn start(telemetry: &TelemetryConfig) -> Result<(), Failure> {
    let filter = check_filter(telemetry)?;
    let is_pretty = match telemetry.log_format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // A log that cannot be written is lost: to complain about it, on stderr too, would panic.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let started = if is_pretty {
        log.with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    started.map_err(|error| Failure::runtime(format!("the log did not start: {error}")))
}

/// What is to be logged.
pub(super) fn check_filter(telemetry: &TelemetryConfig) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(&telemetry.log_filter).map_err(|error| {
        Failure::usage(format!("`telemetry.log_filter` is `{}`: {error}", telemetry.log_filter))
            .with_hint("write a level such as `info`, or `info,tollgate::api=debug`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_says_what_one_looks_like() {
        let telemetry = TelemetryConfig { log_filter: "tollgate=loud".to_owned(), ..TelemetryConfig::default() };
        let failure = check_filter(&telemetry).expect_err("no level").to_string();
        assert!(failure.starts_with("error: `telemetry.log_filter` is `tollgate=loud`: "), "{failure}");
        assert!(
            failure.ends_with("\nhint: write a level such as `info`, or `info,tollgate::api=debug`\n"),
            "{failure}"
        );
        assert!(check_filter(&TelemetryConfig::default()).is_ok());
    }
}
