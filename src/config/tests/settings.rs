//! Settings: defaults, every type of value, contradictions, unknown names and text that is not TOML.

use std::time::Duration;

use super::super::{BackendSettings, LogFormat, Settings};
use super::{parse, problems};
use crate::policy::Label;

#[test]
fn nothing_written_means_the_defaults() {
    let config = parse("");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.max_wait, Duration::from_secs(300));
    assert_eq!(config.data_dir.to_str(), Some("data"));
    assert_eq!(config.runtime.backend, BackendSettings::Memory);
    assert_eq!(config.telemetry.log_filter, "info");
    assert_eq!(format!("{:?}", config.runtime), format!("{:?}", Settings::default()));
    assert!(config.limits.is_empty() && config.auth.admin.is_empty() && !config.server.allow_insecure);
}

#[test]
fn every_setting_arrives() {
    let config = parse(
        "server = { listen = '[::1]:1', allow_insecure = true, max_connections = 2, request_timeout_ms = 3, max_wait_ms = 4, shutdown_grace_ms = 0x5 }\n\
         backend.memory = { max_instances = 6, max_leases = 7 }\n\
         registry = { data_dir = '/d', max_limits = 8 }\n\
         waiting = { max_waiters = 9, max_waiters_total = 10, priority_aging_ms = 11, tenant_weights = { 'a b' = 12 } }\n\
         retry_after = { decreasing_ms = 13, overloaded_ms = 14, overloaded_jitter_ms = 0 }\n\
         telemetry = { log_format = 'json', log_filter = 'debug' }",
    );
    let (server, runtime) = (config.server, config.runtime);
    assert_eq!((server.listen.to_string().as_str(), server.allow_insecure), ("[::1]:1", true));
    assert_eq!(server.max_connections, 2);
    assert_eq!([server.request_timeout, server.max_wait, server.shutdown_grace], [3, 4, 5].map(Duration::from_millis));
    assert_eq!([runtime.memory.max_instances, runtime.memory.max_leases, runtime.max_limits], [6, 7, 8]);
    assert_eq!([runtime.max_waiters, runtime.max_waiters_total], [9, 10]);
    assert_eq!(runtime.turns.aging, Duration::from_millis(11));
    assert_eq!(runtime.turns.tenant_weights.get(&Label::parse("a b").unwrap()), Some(&12));
    assert_eq!(runtime.decreasing_retry_after, Duration::from_millis(13));
    assert_eq!(runtime.overloaded_backoff.delay(5, 999), Duration::from_millis(14));
    assert_eq!((config.data_dir.to_str(), config.telemetry.log_format), (Some("/d"), LogFormat::Json));
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_lines() {
    let text = "[telemetry]\nlog_format = \"xml\"\n\n[server]\nlisten = \"foo\"\nallow_insecure = \"yes\"\n\
                max_connections = 0\nmax_wait_ms = -5\nmax_conections = 3\n\n[waiting]\nmax_waiters = 1.5\n\n[zoo]\n";
    assert_eq!(
        problems(text),
        "error: t.toml:2: `telemetry.log_format` is `xml`, which is not known here\n\
         hint: use `auto` or `pretty` or `json`\n\n\
         error: t.toml:5: `server.listen` is `foo`, which is no address\n\
         hint: write an IP address and a port, for example `127.0.0.1:8080`\n\n\
         error: t.toml:6: `server.allow_insecure` is the text `yes`, not a truth value\n\
         hint: write `true` or `false`, without quotes\n\n\
         error: t.toml:7: `server.max_connections` is 0\n\
         hint: use a whole number from 1 to 65535\n\n\
         error: t.toml:8: `server.max_wait_ms` is -5\n\
         hint: use a whole number from 1 to 86400000\n\n\
         error: t.toml:9: `server.max_conections` is no setting\n\
         hint: did you mean `max_connections`? if not, remove it\n\n\
         error: t.toml:12: `waiting.max_waiters` is the number `1.5`, not a whole number\n\
         hint: write a whole number, without quotes\n\n\
         error: t.toml:14: `zoo` is no setting\n\
         hint: remove it; known here are `server`, `auth`, `backend`, `registry`, `waiting`, `retry_after`, `circuit_breaker`, `breakers`, `rate_limit`, `prices`, `telemetry`, `limits`, `client`"
    );
}

#[test]
fn a_value_of_another_type_is_named() {
    for (value, described) in [
        ("12", "the number `12`"),
        ("1.5", "the number `1.5`"),
        ("true", "`true`"),
        ("2026-01-01", "a date or time"),
        ("[1]", "an array"),
        ("{}", "a table"),
    ] {
        let expected = format!(
            "error: t.toml:1: `registry.data_dir` is {described}, not a text\nhint: write a text, in double quotes"
        );
        assert_eq!(problems(&format!("registry.data_dir = {value}")), expected);
    }
    assert_eq!(
        problems("backend.memory = 'big'"),
        "error: t.toml:1: `backend.memory` is the text `big`, not a table\n\
         hint: write `[backend.memory]` on a line of its own and its settings below it"
    );
}

#[test]
fn bad_values_say_what_would_be_good() {
    for (text, problem, hint) in [
        (
            "backend.kind = 'redis'",
            "`backend.kind` is `redis`, which is not known here",
            "use `memory` or `tigerbeetle`",
        ),
        (
            "registry.data_dir = ''",
            "`registry.data_dir` is empty",
            "name a directory, for example `data`; `.` is the current one",
        ),
        (
            "telemetry.log_filter = ''",
            "`telemetry.log_filter` is 0 bytes long",
            "use 1 to 4096 bytes, for example `info` or `tollgate=debug,info`",
        ),
        ("waiting.tenant_weights.acme = 0", "`waiting.tenant_weights.acme` is 0", "use a whole number from 1 to 1000"),
        (
            "waiting.tenant_weights.'' = 1",
            "`waiting.tenant_weights` has a tenant whose name is 0 bytes long",
            "use 1 to 256 bytes, or leave it out",
        ),
        (
            "retry_after.overloaded_jitter_ms = 86_400_001",
            "`retry_after.overloaded_jitter_ms` is 86400001",
            "use a whole number from 0 to 86400000",
        ),
    ] {
        assert_eq!(problems(text), format!("error: t.toml:1: {problem}\nhint: {hint}"));
    }
    let long = format!("server.listen = '{}\\'", "x".repeat(70));
    assert!(problems(&long).contains(&format!("is `{}…`", "x".repeat(60))));
    assert!(problems(r#"server.listen = "a\nb""#).contains(r"is `a\nb`"), "one mistake, one line");
}

#[test]
fn more_waiters_per_limit_than_in_total_contradict_each_other() {
    let expected = |line| {
        format!(
            "error: t.toml:{line}: `waiting.max_waiters` is 1000, more than `waiting.max_waiters_total`, which is 5\n\
             hint: lower it to at most 5, or raise `waiting.max_waiters_total`"
        )
    };
    assert_eq!(problems("[waiting]\nmax_waiters = 1_000\nmax_waiters_total = 5"), expected(2));
    assert_eq!(problems("[waiting]\nmax_waiters_total = 5"), expected(2));
    let unclear = problems("[waiting]\nmax_waiters = 'x'\nmax_waiters_total = 5");
    assert!(!unclear.contains("more than"), "{unclear}");
}

#[test]
fn text_that_is_not_toml_is_reported_beside_what_the_rest_of_it_says() {
    let hint = "hint: write `[section]` and `name = value` on lines of their own, texts in double quotes";
    assert_eq!(
        problems("[server]\nlisten = \"x\nmax_connections = 0\nfoo = 1\n"),
        format!(
            "error: t.toml:2: is not TOML: invalid basic string, expected `\"`\n{hint}\n\n\
             error: t.toml:3: `server.max_connections` is 0\nhint: use a whole number from 1 to 65535"
        )
    );
    let twice = problems("[server]\nlisten = '[::1]:1'\nlisten = '[::1]:1'");
    assert_eq!(twice, format!("error: t.toml:3: is not TOML: duplicate key\n{hint}"));
    let unquoted = problems("[[limits]]\nkey = \nkind = rolling\n");
    assert_eq!(unquoted.matches("error:").count(), 2, "what is missing may be in the broken lines: {unquoted}");
}

#[test]
fn a_file_that_is_something_else_does_not_flood_the_terminal() {
    let shown = problems(&"Lorem ipsum\n".repeat(10_000));
    assert_eq!(shown.matches("is not TOML").count(), 100);
    assert!(shown.ends_with("\n\nerror: 9900 more mistakes are not shown\nhint: correct those above first"), "{shown}");
}

#[test]
fn settings_on_broken_lines_are_not_compared() {
    let unclear = problems("[waiting]\nmax_waiters = 1O\nmax_waiters_total = 5\n");
    assert!(!unclear.contains("more than"), "{unclear}");
}
