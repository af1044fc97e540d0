//! A refused reservation in words: why, which limits, and what to do.

use std::io::{self, Write};

use serde_json::Value;

use super::table::table;
use super::text::{plain, shown};

/// Tells the refusal on stderr.
pub(super) fn report(answer: &Value) {
    // Nobody is left to tell when stderr is gone.
    let _ = write!(io::stderr(), "{}", explain(answer));
}

fn explain(answer: &Value) -> String {
    let error = plain(answer["error"].as_str().unwrap_or_default());
    let (code, name) = error.split_once(':').unwrap_or((&error, ""));
    let (reason, advice) = reason(code, name);
    let mut text = format!("denied: {reason}\n");
    let row = |denied: &Value| ["key", "capacity", "available", "retry_after_ms"].map(|field| shown(denied, field));
    let rows: Vec<_> = answer["denied"].as_array().into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        text.push_str(&table(["KEY", "CAPACITY", "AVAILABLE", "RETRY AFTER MS"], &rows));
    }
    let hint = match answer["retry_after_ms"].as_u64() {
        Some(ms) if 0 < ms => format!("try again in {ms} ms, under a new lease id"),
        _ => advice.to_owned(),
    };
    if !hint.is_empty() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

/// Why, and what to do when time alone does not help.
fn reason(code: &str, name: &str) -> (String, &'static str) {
    let new_lease = "leave out `--lease-id`, every attempt takes a new one";
    match code {
        "" => ("there is no room now".to_owned(), ""),
        "limit_decreasing" => (format!("the capacity of `{name}` is being lowered"), ""),
        "limit_paused" => (format!("the provider asked to wait with `{name}`"), ""),
        "breaker_open" => (format!("the circuit breaker `{name}` is open"), ""),
        "never_fits" => (
            format!("more is asked of `{name}` than its capacity"),
            "ask for less, or raise `capacity` with `tollgate limits put`",
        ),
        "unknown_limit_key" => (format!("no limit has the key `{name}`"), "`tollgate limits list` shows the keys"),
        "lease_finished" => ("the lease has completed or expired".to_owned(), new_lease),
        "invalid_request" => ("the lease id belongs to another request".to_owned(), new_lease),
        "overloaded" => ("the server has too much to do".to_owned(), ""),
        other => (format!("`{other}`"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_denial_names_every_limit_and_when_to_come_again() {
        let answer = json!({"allowed": false, "error": "", "retry_after_ms": 1200, "denied": [
            {"key": "rpm", "capacity": 60, "available": 0, "retry_after_ms": 900},
            {"key": "tpm", "capacity": 90_000, "available": 12, "retry_after_ms": 1200},
        ]});
        assert_eq!(
            explain(&answer),
            concat!(
                "denied: there is no room now\n",
                "KEY  CAPACITY  AVAILABLE  RETRY AFTER MS\n",
                "rpm        60          0             900\n",
                "tpm     90000         12            1200\n",
                "hint: try again in 1200 ms, under a new lease id\n",
            )
        );
    }

    #[test]
    fn every_reason_is_told_in_words() {
        for (error, retry_after_ms, told) in [
            ("limit_decreasing:a:b", 10_000, "the capacity of `a:b` is being lowered\nhint: try again in 10000 ms, "),
            ("limit_paused:a:b", 5, "the provider asked to wait with `a:b`\nhint: try again in 5 ms, "),
            ("breaker_open:openai:gpt", 5, "the circuit breaker `openai:gpt` is open\nhint: try again in 5 ms, "),
            ("overloaded", 5, "the server has too much to do\nhint: try again in 5 ms, "),
            ("never_fits:a", 0, "more is asked of `a` than its capacity\nhint: ask for less, or raise `capacity` "),
            ("unknown_limit_key:a:b", 0, "no limit has the key `a:b`\nhint: `tollgate limits list` shows the keys"),
            ("lease_finished", 0, "the lease has completed or expired\nhint: leave out `--lease-id`, every attempt"),
            ("invalid_request", 0, "the lease id belongs to another request\nhint: leave out `--lease-id`, every "),
            ("newer", 0, "`newer`\n"),
        ] {
            let explained = explain(&json!({"error": error, "retry_after_ms": retry_after_ms}));
            assert!(explained.starts_with(&format!("denied: {told}")), "{explained}");
        }
    }
}
