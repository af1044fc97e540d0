//! `[client]`: where a host's limits are kept, and how they are reached.

use std::ops::RangeInclusive;
use std::path::Path;

use super::environment::TOKEN_VARIABLE;
use super::limits::read_limits;
use super::secret::read_tokens;
use super::section::Section;
use super::settings::Settings;
use crate::client::{
    BaseUrl, BatchSettings, ClientMode, ClientSettings, EmbeddedSettings, LimitsSource, RemoteSettings,
};
use crate::policy::{Definition, Mistake};

/// Longer than a minute is a slip of the unit.
const TIMEOUT_MS: RangeInclusive<u64> = 1..=60_000;
/// As many as a server takes in one body.
const BATCH_SIZE: RangeInclusive<u64> = 1..=256;
const FLUSH_MS: RangeInclusive<u64> = 1..=1_000;
const WORKERS: RangeInclusive<u64> = 1..=64;
const TOKENS: RangeInclusive<u64> = 1..=100_000_000;

#[derive(Clone, Copy)]
enum ModeName {
    Disabled,
    Remote,
    Embedded,
}

const MODES: [(&str, ModeName); 3] =
    [("disabled", ModeName::Disabled), ("remote", ModeName::Remote), ("embedded", ModeName::Embedded)];

/// Reads the section. What a mode does not use is checked all the same.
pub(super) fn read_client(section: &mut Section<'_, '_>, base_dir: &Path, runtime: &Settings) -> ClientSettings {
    let defaults = ClientSettings::default();
    let mode = section.choice("mode", &MODES).unwrap_or(ModeName::Disabled);
    let base_url = section.value("base_url", |text: String| BaseUrl::parse(&text));
    let request_timeout = section.millis("request_timeout_ms", TIMEOUT_MS, RemoteSettings::REQUEST_TIMEOUT);
    let limits_path = section.value("limits_path", |path: String| match path.as_str() {
        "" => Err(Mistake::new("", "is empty", "name a file, for example `config/limits.json`")),
        _ => Ok(base_dir.join(path)),
    });
    let limits = read_limits(section, runtime.max_limits, runtime.preset.is_some());
    let batch = section.section("batch", read_batch);
    let max_output_tokens = section.integer("max_output_tokens", TOKENS).unwrap_or(defaults.max_output_tokens);
    let mode = match mode {
        ModeName::Disabled => None,
        ModeName::Remote => {
            let token = read_tokens(section, "token_file", TOKEN_VARIABLE, base_dir).pop();
            check_remote(section, base_url)
                .map(|base_url| ClientMode::Remote(RemoteSettings { base_url, token, request_timeout }))
        }
        ModeName::Embedded => check_embedded(section, limits, limits_path.map(LimitsSource::File))
            .map(|limits| ClientMode::Embedded(Box::new(EmbeddedSettings { limits, runtime: runtime.clone() }))),
    };
    if !matches!(mode, Some(ClientMode::Remote(_))) {
        section.asks_for("token_file");
    }
    ClientSettings { mode: mode.unwrap_or_default(), batch, max_output_tokens }
}

fn read_batch(section: &mut Section<'_, '_>) -> BatchSettings {
    let defaults = BatchSettings::default();
    BatchSettings {
        size: section.count("size", BATCH_SIZE, defaults.size),
        flush: section.millis("flush_ms", FLUSH_MS, defaults.flush),
        workers: section.count("workers", WORKERS, defaults.workers),
    }
}

fn check_remote(section: &mut Section<'_, '_>, base_url: Option<BaseUrl>) -> Option<BaseUrl> {
    if !section.is_set("base_url") {
        let hint = "name the server, for example `http://127.0.0.1:8080`";
        section.blame(&["mode"], Mistake::new("base_url", "is missing", hint));
    }
    base_url
}

/// Exactly one of the two.
fn check_embedded(
    section: &mut Section<'_, '_>,
    limits: Vec<Definition>,
    file: Option<LimitsSource>,
) -> Option<LimitsSource> {
    match (section.is_set("limits"), section.is_set("limits_path")) {
        (true, true) => {
            let mistake = Mistake::new("limits_path", "stands beside `client.limits`", "keep one of the two");
            section.blame(&["limits_path"], mistake);
            None
        }
        (false, false) => {
            let hint = "write `[[client.limits]]` tables, or name a file with `client.limits_path`";
            section.blame(&["mode"], Mistake::new("limits", "is missing", hint));
            None
        }
        (true, false) => Some(LimitsSource::Listed(limits)),
        (false, true) => file,
    }
}
