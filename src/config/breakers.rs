//! `[circuit_breaker]`, what all circuit breakers have in common, and `[[breakers]]`, where one differs.

use std::collections::HashMap;

use super::section::Section;
use super::settings::Settings;
use crate::policy::{BreakerFields, BreakerName, BreakerSettings, Mistake};

/// The settings of a breaker.
const FIELDS: [&str; 13] = [
    "failure_threshold",
    "failure_rate_percent",
    "minimum_calls",
    "window_calls",
    "window_seconds",
    "slow_call_ms",
    "slow_call_rate_percent",
    "timeout_ms",
    "timeout_ms_max",
    "jitter_percent",
    "half_open_max_probes",
    "probe_timeout_ms",
    "success_threshold",
];

/// Reads both.
pub(super) fn read_breakers(root: &mut Section<'_, '_>, runtime: &mut Settings) {
    let defaults = root.section("circuit_breaker", |section| {
        runtime.max_breakers = section.count("max_breakers", super::sections::COUNT, runtime.max_breakers);
        read_settings(section, Some(&runtime.breaker_defaults))
    });
    let mut firsts: HashMap<BreakerName, String> = HashMap::new();
    let max_breakers = runtime.max_breakers;
    let breakers = root.tables("breakers", |section| {
        section.require("name", "name the breaker, for example `anthropic:claude-sonnet`");
        let name = section.value("name", |text: String| BreakerName::parse(&text));
        let settings = read_settings(section, defaults.as_ref());
        let name = name?;
        if let Some(first) = firsts.get(&name) {
            let problem = format!("is `{name}`, the same as `{first}`");
            section.blame(&["name"], Mistake::new("name", problem, "remove one of the two, or give it another name"));
        } else if firsts.len() == max_breakers {
            let problem = format!("is one more than `circuit_breaker.max_breakers`, which is {max_breakers}");
            section.blame(&["name"], Mistake::new("name", problem, "raise `circuit_breaker.max_breakers`"));
        } else {
            firsts.insert(name.clone(), section.path_of("name"));
        }
        Some((name, settings?))
    });
    runtime.breaker_defaults = defaults.unwrap_or_default();
    runtime.breakers = breakers.into_iter().flatten().collect();
}

/// Reads the settings of one breaker over `defaults`, which are `None` when those are mistaken.
fn read_settings(section: &mut Section<'_, '_>, defaults: Option<&BreakerSettings>) -> Option<BreakerSettings> {
    let mut integer = |name| section.integer(name, 0..=u64::MAX);
    let fields = BreakerFields {
        failure_threshold: integer("failure_threshold"),
        failure_rate_percent: integer("failure_rate_percent"),
        minimum_calls: integer("minimum_calls"),
        window_calls: integer("window_calls"),
        window_seconds: integer("window_seconds"),
        slow_call_ms: integer("slow_call_ms"),
        slow_call_rate_percent: integer("slow_call_rate_percent"),
        timeout_ms: integer("timeout_ms"),
        timeout_ms_max: integer("timeout_ms_max"),
        jitter_percent: integer("jitter_percent"),
        half_open_max_probes: integer("half_open_max_probes"),
        probe_timeout_ms: integer("probe_timeout_ms"),
        success_threshold: integer("success_threshold"),
    };
    let unread: Vec<&str> = match defaults {
        Some(_) => FIELDS.into_iter().filter(|name| section.is_blamed(name)).collect(),
        None => FIELDS.to_vec(),
    };
    let checked = fields.check(defaults.unwrap_or(&BreakerSettings::default()));
    let report = |mistakes: Vec<Mistake>| {
        // What contradicts a field that could not be read may be no contradiction in truth.
        let is_doubtful = |mistake: &Mistake| {
            let names =
                |name: &&str| [&mistake.problem, &mistake.hint].iter().any(|text| text.contains(&format!("`{name}`")));
            unread.iter().any(names)
        };
        for mistake in mistakes.into_iter().filter(|mistake| !is_doubtful(mistake)) {
            if section.reader.is_whole() && !section.is_blamed(&mistake.field) {
                section.blame(&[&mistake.field.clone()], mistake);
            }
        }
    };
    checked.map_err(report).ok()
}
