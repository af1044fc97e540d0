//! What stands in each section, its bounds and its defaults.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::backend::read_backend;
use super::breakers::read_breakers;
use super::client::read_client;
use super::money::{read_preset, read_prices};
use super::secret::read_auth;
use super::section::Section;
use super::settings::Settings;
use super::{Config, LogFormat, ServerConfig, TelemetryConfig, limits};
use crate::policy::{Label, Mistake, Turns};

/// Up to a day: longer is a slip of the unit.
const MS: RangeInclusive<u64> = 1..=86_400_000;
pub(super) const COUNT: RangeInclusive<u64> = 1..=10_000_000;
/// As many ports as an address has.
const CONNECTIONS: RangeInclusive<u64> = 1..=65_535;
const WEIGHT: RangeInclusive<u64> = 1..=1_000;
const LOG_FILTER_BYTES_MAX: usize = 4_096;

/// Reads the whole file, in the order it is written in.
pub(super) fn read_config(root: &mut Section<'_, '_>, base_dir: &Path) -> Config {
    let server = root.section("server", read_server);
    let auth = root.section("auth", |section| read_auth(section, base_dir));
    let mut config = Config { server, auth, ..Config::default() };
    root.section("backend", |section| read_backend(section, &mut config));
    let data_dir = root.section("registry", |section| read_registry(section, &mut config.runtime));
    config.data_dir = data_dir.unwrap_or(config.data_dir);
    let runtime = &mut config.runtime;
    root.section("waiting", |section| read_waiting(section, runtime));
    root.section("retry_after", |section| read_retry_after(section, runtime));
    read_breakers(root, runtime);
    runtime.preset = root.section("rate_limit", read_preset);
    runtime.prices = read_prices(root);
    config.telemetry = root.section("telemetry", read_telemetry);
    config.limits = limits::read_limits(root, runtime.max_limits, runtime.preset.is_some());
    config.client = root.section("client", |section| read_client(section, base_dir, runtime));
    config
}

fn read_server(section: &mut Section<'_, '_>) -> ServerConfig {
    let defaults = ServerConfig::default();
    ServerConfig {
        listen: section.address("listen", defaults.listen),
        allow_insecure: section.truth("allow_insecure", defaults.allow_insecure),
        max_connections: section.count("max_connections", CONNECTIONS, defaults.max_connections),
        request_timeout: section.millis("request_timeout_ms", MS, defaults.request_timeout),
        max_wait: section.millis("max_wait_ms", MS, defaults.max_wait),
        shutdown_grace: section.millis("shutdown_grace_ms", MS, defaults.shutdown_grace),
    }
}

/// Answers with the data directory.
fn read_registry(section: &mut Section<'_, '_>, runtime: &mut Settings) -> Option<PathBuf> {
    runtime.max_limits = section.count("max_limits", COUNT, runtime.max_limits);
    section.value("data_dir", |path: String| match path.as_str() {
        "" => Err(Mistake::new("", "is empty", "name a directory, for example `data`; `.` is the current one")),
        _ => Ok(PathBuf::from(path)),
    })
}

fn read_waiting(section: &mut Section<'_, '_>, runtime: &mut Settings) {
    runtime.max_waiters = section.count("max_waiters", COUNT, runtime.max_waiters);
    runtime.max_waiters_total = section.count("max_waiters_total", COUNT, runtime.max_waiters_total);
    let (one, all) = (runtime.max_waiters, runtime.max_waiters_total);
    if section.is_sound() && all < one {
        let problem = format!("is {one}, more than `waiting.max_waiters_total`, which is {all}");
        let hint = format!("lower it to at most {all}, or raise `waiting.max_waiters_total`");
        section.blame(&["max_waiters", "max_waiters_total"], Mistake::new("max_waiters", problem, hint));
    }
    let aging = section.millis("priority_aging_ms", MS, runtime.turns.aging);
    let tenant_weights = section.section("tenant_weights", read_tenant_weights);
    runtime.turns = Turns { aging, tenant_weights };
}

fn read_tenant_weights(section: &mut Section<'_, '_>) -> HashMap<Label, u32> {
    let mut weights = HashMap::new();
    for name in section.any_names() {
        let weight = section.integer(name, WEIGHT).and_then(|weight| u32::try_from(weight).ok());
        match (Label::parse(name), weight) {
            (Ok(tenant), Some(weight)) => drop(weights.insert(tenant, weight)),
            (Err(mistake), _) => section
                .blame(&[name], Mistake::new("", format!("has a tenant whose name {}", mistake.problem), mistake.hint)),
            (Ok(_), None) => {} // Reported by its reader.
        }
    }
    weights
}

fn read_retry_after(section: &mut Section<'_, '_>, runtime: &mut Settings) {
    runtime.decreasing_retry_after = section.millis("decreasing_ms", MS, runtime.decreasing_retry_after);
    let delay = section.millis("overloaded_ms", MS, Settings::OVERLOADED_DELAY);
    let jitter = section.millis("overloaded_jitter_ms", 0..=*MS.end(), Settings::OVERLOADED_JITTER);
    runtime.overloaded_backoff = Settings::overloaded_backoff(delay, jitter);
}

fn read_telemetry(section: &mut Section<'_, '_>) -> TelemetryConfig {
    let defaults = TelemetryConfig::default();
    let log_format = section.choice("log_format", &LogFormat::CHOICES).unwrap_or(defaults.log_format);
    let log_filter = section.value("log_filter", |filter: String| match filter.len() {
        1..=LOG_FILTER_BYTES_MAX => Ok(filter),
        bytes => {
            let hint = format!("use 1 to {LOG_FILTER_BYTES_MAX} bytes, for example `info` or `tollgate=debug,info`");
            Err(Mistake::new("", format!("is {bytes} bytes long"), hint))
        }
    });
    TelemetryConfig { log_format, log_filter: log_filter.unwrap_or(defaults.log_filter) }
}
