//! What guards calls: circuit breakers, the preset and prices.

use std::num::NonZeroU64;
use std::path::Path;

use super::super::{Config, Environment};
use super::{parse, parse_with, problems};
use crate::policy::{BreakerFields, BreakerSettings, Preset, UsdMicros};

fn settings(fields: BreakerFields, defaults: &BreakerSettings) -> BreakerSettings {
    fields.check(defaults).expect("good settings")
}

/// All settings of a breaker, as they are written in TOML.
const EVERY_SETTING: &str = "failure_threshold = 1\nfailure_rate_percent = 2\nminimum_calls = 3\nwindow_calls = 4\n\
    slow_call_ms = 5\nslow_call_rate_percent = 6\ntimeout_ms = 7\ntimeout_ms_max = 8\njitter_percent = 9\n\
    half_open_max_probes = 10\nprobe_timeout_ms = 11\nsuccess_threshold = 12\n";

fn every_setting() -> BreakerFields {
    BreakerFields {
        failure_threshold: Some(1),
        failure_rate_percent: Some(2),
        minimum_calls: Some(3),
        window_calls: Some(4),
        window_seconds: None,
        slow_call_ms: Some(5),
        slow_call_rate_percent: Some(6),
        timeout_ms: Some(7),
        timeout_ms_max: Some(8),
        jitter_percent: Some(9),
        half_open_max_probes: Some(10),
        probe_timeout_ms: Some(11),
        success_threshold: Some(12),
    }
}

#[test]
fn every_setting_of_a_breaker_arrives() {
    let expected = settings(every_setting(), &BreakerSettings::default());
    let config = parse(&format!("[circuit_breaker]\nmax_breakers = 99\n{EVERY_SETTING}"));
    assert_eq!(config.runtime.breaker_defaults, expected);
    assert_eq!((config.runtime.max_breakers, config.runtime.breakers.len()), (99, 0));
    let config = parse(&format!("[[breakers]]\nname = 'a'\n{EVERY_SETTING}"));
    assert_eq!(config.runtime.breaker_defaults, BreakerSettings::default());
    assert_eq!(config.runtime.breakers[0].1, expected);
    let by_time = parse(&format!("[circuit_breaker]\n{}", EVERY_SETTING.replace("window_calls", "window_seconds")));
    let fields = BreakerFields { window_calls: None, window_seconds: Some(4), ..every_setting() };
    assert_eq!(by_time.runtime.breaker_defaults, settings(fields, &BreakerSettings::default()));
}

#[test]
fn a_breaker_has_from_the_defaults_what_it_does_not_name() {
    let config = parse(
        "[[breakers]]\nname = 'b'\ntimeout_ms = 5\n[[breakers]]\nname = 'a:b'\n\
         [circuit_breaker]\nfailure_threshold = 9\ntimeout_ms = 4",
    );
    let defaults = &config.runtime.breaker_defaults;
    let written = BreakerFields { failure_threshold: Some(9), timeout_ms: Some(4), ..Default::default() };
    assert_eq!(*defaults, settings(written, &BreakerSettings::default()));
    let names: Vec<&str> = config.runtime.breakers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a:b"]);
    let faster = BreakerFields { timeout_ms: Some(5), ..Default::default() };
    assert_eq!(config.runtime.breakers[0].1, settings(faster, defaults));
    assert_eq!(config.runtime.breakers[1].1, *defaults);
}

#[test]
fn mistakes_in_breakers_stand_at_their_lines() {
    assert_eq!(
        problems(
            "[circuit_breaker]\nfailure_threshold = 0\ntimeout_ms_max = 5\nfailure_rate = 3\n\
             [[breakers]]\ntimeout_ms = '5'\n[[breakers]]\nname = 'a b'\nsuccess_threshold = -1"
        ),
        "error: t.toml:2: `circuit_breaker.failure_threshold` is 0\nhint: use 1 to 10000\n\n\
         error: t.toml:3: `circuit_breaker.timeout_ms_max` is 5, less than `timeout_ms` = 60000\n\
         hint: raise it, or lower `timeout_ms`\n\n\
         error: t.toml:4: `circuit_breaker.failure_rate` is no setting\n\
         hint: remove it; known here are `max_breakers`, `failure_threshold`, `failure_rate_percent`, `minimum_calls`, \
         `window_calls`, `window_seconds`, `slow_call_ms`, `slow_call_rate_percent`, `timeout_ms`, `timeout_ms_max`, \
         `jitter_percent`, `half_open_max_probes`, `probe_timeout_ms`, `success_threshold`\n\n\
         error: t.toml:5: `breakers[0].name` is missing\n\
         hint: name the breaker, for example `anthropic:claude-sonnet`\n\n\
         error: t.toml:6: `breakers[0].timeout_ms` is the text `5`, not a whole number\n\
         hint: write a whole number, without quotes\n\n\
         error: t.toml:8: `breakers[1].name` has ` ` at byte 1\n\
         hint: use only letters, digits and `.` `_` `:` `/` `@` `+` `-`\n\n\
         error: t.toml:9: `breakers[1].success_threshold` is -1\n\
         hint: use a whole number from 0 to 18446744073709551615"
    );
    assert_eq!(
        problems("[[breakers]]\nname = 'a'\nfailure_rate_percent = 50\nslow_call_ms = 9"),
        "error: t.toml:3: `breakers[0].failure_rate_percent` has no window that it is taken over\n\
         hint: add `window_calls` or `window_seconds`\n\n\
         error: t.toml:4: `breakers[0].slow_call_ms` says what is slow, and not how much of it opens\n\
         hint: add `slow_call_rate_percent`, or remove it"
    );
}

#[test]
fn what_could_not_be_read_is_not_said_to_be_missing() {
    let unread = "window_calls = '5'\nfailure_rate_percent = 50\nslow_call_rate_percent = 5\nslow_call_ms = 1.5\n\
                  jitter_percent = 101";
    for section in ["[circuit_breaker]", "[[breakers]]\nname = 'a'"] {
        let problems = problems(&format!("{section}\n{unread}"));
        assert_eq!(problems.matches("error:").count(), 3, "{problems}");
    }
    let mistaken_defaults = "[circuit_breaker]\nwindow_calls = 'x'\nfailure_rate_percent = 1\n\
                             [[breakers]]\nname = 'a'\nminimum_calls = 5\njitter_percent = 101";
    let problems = problems(mistaken_defaults);
    assert!(problems.contains("`breakers[0].jitter_percent` is 101\nhint: use 0 to 100"), "{problems}");
    assert_eq!(problems.matches("error:").count(), 2, "there may be a rate in the defaults: {problems}");
}

#[test]
fn a_breaker_is_named_once_and_there_are_only_so_many() {
    let named =
        |names: &[&str]| names.iter().map(|name| format!("[[breakers]]\nname = '{name}'\n")).collect::<String>();
    assert_eq!(
        problems(&named(&["a", "b", "a"])),
        "error: t.toml:6: `breakers[2].name` is `a`, the same as `breakers[0].name`\n\
         hint: remove one of the two, or give it another name"
    );
    let two = "circuit_breaker.max_breakers = 2\n";
    assert_eq!(parse(&format!("{two}{}", named(&["a", "b"]))).runtime.breakers.len(), 2);
    assert_eq!(
        problems(&format!("{two}{}", named(&["a", "b", "c"]))),
        "error: t.toml:7: `breakers[2].name` is one more than `circuit_breaker.max_breakers`, which is 2\n\
         hint: raise `circuit_breaker.max_breakers`"
    );
}

fn preset(per_minute: u64, per_hour: u64, micros: Option<u64>) -> Option<Preset> {
    let new = Preset::new(NonZeroU64::new(per_minute), NonZeroU64::new(per_hour), micros.map(UsdMicros));
    Some(new.expect("a preset"))
}

#[test]
fn a_preset_has_what_is_written() {
    let written = |text: &str| parse(text).runtime.preset;
    assert_eq!(written(""), None);
    assert_eq!(
        written("[rate_limit]\nqueries_per_minute = 60\nqueries_per_hour = 1_000\ncost_budget_per_hour_usd = '10.00'"),
        preset(60, 1_000, Some(10_000_000))
    );
    assert_eq!(written("[rate_limit]\nqueries_per_hour = 7"), preset(0, 7, None));
    assert_eq!(written("[rate_limit]\ncost_budget_per_hour_usd = '0.000001'"), preset(0, 0, Some(1)));
}

#[test]
fn mistakes_in_a_preset_say_what_to_do() {
    let in_quotes = "hint: write it as a text, for example \"10.00\": a number with a point is not exact";
    for (line, problem) in [
        ("cost_budget_per_hour_usd = 10.5", format!("is the number `10.5`, not dollars in quotes\n{in_quotes}")),
        ("cost_budget_per_hour_usd = 10", format!("is the number `10`, not dollars in quotes\n{in_quotes}")),
        (
            "cost_budget_per_hour_usd = '1e3'",
            "is `1e3`, which is no amount of dollars\n\
             hint: write digits with at most one point and nothing else, for example \"10.00\""
                .to_owned(),
        ),
        (
            "cost_budget_per_hour_usd = '-1'",
            "is `-1`, which is negative\nhint: write dollars from 0 up, for example \"10.00\"".to_owned(),
        ),
        (
            "cost_budget_per_hour_usd = '0.00'",
            "is 0\nhint: use at least \"0.000001\", or remove it to stop limiting".to_owned(),
        ),
        ("queries_per_minute = 0", "is 0\nhint: use a whole number from 1 to 1000000000".to_owned()),
        ("queries_per_hour = 1000000001", "is 1000000001\nhint: use a whole number from 1 to 1000000000".to_owned()),
    ] {
        let name = line.split(' ').next().expect("a name");
        let expected = format!("error: t.toml:2: `rate_limit.{name}` {problem}");
        assert_eq!(problems(&format!("[rate_limit]\n{line}")), expected);
    }
    assert_eq!(
        problems("\n[rate_limit]\n"),
        "error: t.toml:2: `rate_limit` limits nothing\n\
         hint: set `queries_per_minute`, `queries_per_hour` or `cost_budget_per_hour_usd`, or remove it"
    );
}

#[test]
fn the_keys_of_a_preset_are_kept_for_it() {
    let limit = |key: &str| format!("[[limits]]\nkey = '{key}'\nkind = 'rolling'\ncapacity = 1\nwindow_seconds = 1\n");
    let all: String = Preset::KEYS.into_iter().map(limit).collect();
    assert_eq!(parse(&all).limits.len(), 3, "without one they are free");
    for key in Preset::KEYS {
        assert_eq!(
            problems(&format!("rate_limit.queries_per_minute = 1\n{}{}", limit("a"), limit(key))),
            format!(
                "error: t.toml:8: `limits[1].key` is `{key}`, which is kept for the limits of `[rate_limit]`\n\
                 hint: give it another key, or remove `[rate_limit]`"
            )
        );
    }
}

#[test]
fn prices_are_read_exactly() {
    let config = parse(
        "[[prices]]\nmodel = 'gpt-4o'\ninput_usd_per_million = '2.50'\noutput_usd_per_million = '10'\n\
         [[prices]]\nmodel = 'free'\ninput_usd_per_million = '0'\noutput_usd_per_million = '0.000001'",
    );
    let prices = config.runtime.prices;
    assert_eq!(prices.len(), 2);
    assert_eq!(prices.cost("gpt-4o", 1_000, 100), Ok(UsdMicros(3_500)));
    assert_eq!(prices.cost("free", 1_000_000, 1_000_000), Ok(UsdMicros(1)));
    assert!(parse("").runtime.prices.is_empty());
}

#[test]
fn mistakes_in_prices_stand_at_their_lines() {
    assert_eq!(
        problems(
            "[[prices]]\nmodel = ''\ninput_usd_per_million = 2.5\noutput_usd_per_million = '0.0000001'\n\
             [[prices]]\ninput_usd_per_million = '1'\n\
             [[prices]]\nmodel = 'a'\ninput_usd_per_million = '1'\noutput_usd_per_million = '1'\n\
             [[prices]]\nmodel = 'a'\ninput_usd_per_million = '2'\noutput_usd_per_million = '2'\nmodels = 'b'"
        ),
        "error: t.toml:2: `prices[0].model` is empty\n\
         hint: name the model as calls name it, for example `gpt-4o`\n\n\
         error: t.toml:3: `prices[0].input_usd_per_million` is the number `2.5`, not dollars in quotes\n\
         hint: write it as a text, for example \"10.00\": a number with a point is not exact\n\n\
         error: t.toml:4: `prices[0].output_usd_per_million` is `0.0000001`, which has 7 decimals\n\
         hint: use at most 6: a millionth of a dollar is the least that is counted\n\n\
         error: t.toml:5: `prices[1].model` is missing\n\
         hint: name the model as calls name it, for example `gpt-4o`\n\n\
         error: t.toml:5: `prices[1].output_usd_per_million` is missing\n\
         hint: write dollars, for example \"2.50\"\n\n\
         error: t.toml:12: `prices[3].model` is `a`, which has a price already\n\
         hint: remove one of the two\n\n\
         error: t.toml:15: `prices[3].models` is no setting\n\
         hint: did you mean `model`? if not, remove it"
    );
}

#[test]
fn variables_override_what_guards_calls() {
    let variables = [
        ("TOLLGATE_CIRCUIT_BREAKER_FAILURE_THRESHOLD", "7"),
        ("TOLLGATE_CIRCUIT_BREAKER_MAX_BREAKERS", "8"),
        ("TOLLGATE_RATE_LIMIT_QUERIES_PER_MINUTE", "9"),
        ("TOLLGATE_RATE_LIMIT_COST_BUDGET_PER_HOUR_USD", "1.50"),
    ];
    let text = "[circuit_breaker]\nfailure_threshold = 1\n[rate_limit]\nqueries_per_hour = 5";
    let runtime = parse_with(text, &variables).expect("a good configuration").runtime;
    let seven = BreakerFields { failure_threshold: Some(7), ..Default::default() };
    assert_eq!(runtime.breaker_defaults, settings(seven, &BreakerSettings::default()));
    assert_eq!((runtime.max_breakers, runtime.preset), (8, preset(9, 5, Some(1_500_000))));
    let without_file = parse_with("", &variables).expect("a good configuration").runtime;
    assert_eq!(without_file.preset, preset(9, 0, Some(1_500_000)));
    for (name, value, problem) in [
        (
            "TOLLGATE_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
            "0",
            "`circuit_breaker.failure_threshold` is 0\nhint: use 1 to 10000",
        ),
        (
            "TOLLGATE_RATE_LIMIT_COST_BUDGET_PER_HOUR_USD",
            "1,50",
            "`rate_limit.cost_budget_per_hour_usd` is `1,50`, which is no amount of dollars\n\
             hint: write digits with at most one point and nothing else, for example \"10.00\"",
        ),
        (
            "TOLLGATE_RATE_LIMIT_COST_BUDGET_PER_HOUR_USD",
            "0",
            "`rate_limit.cost_budget_per_hour_usd` is 0\nhint: use at least \"0.000001\", or remove it to stop limiting",
        ),
    ] {
        let problems = parse_with("", &[(name, value)]).expect_err("a mistake");
        assert_eq!(problems, format!("error: {name}: {problem}"));
    }
}

#[test]
fn the_guarded_example_shows_all_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/guarded.toml");
    let (config, _) = Config::load(Some(&path), &Environment::default()).expect("it loads");
    let runtime = config.runtime;
    assert_ne!(runtime.breaker_defaults, BreakerSettings::default());
    assert_eq!((runtime.breakers.len(), runtime.prices.len()), (2, 2));
    assert_eq!(runtime.preset, preset(60, 1_000, Some(10_000_000)));
}
