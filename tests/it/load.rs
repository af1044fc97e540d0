//! `tollgate load` end to end: what it measures, what it finds out, and how it exits.

mod lenient;
mod local;
mod server;

use serde_json::Value;

use crate::support::server::{Ended, run, tollgate};

/// Limits that are soon full, of two providers and for tenants.
const CONFIG: &str = r#"
[[limits]]
key = "global:llm:a:m:rps"
kind = "rolling"
capacity = 30
window_seconds = 1

[[limits]]
key = "global:llm:a:m:concurrency"
kind = "concurrency"
capacity = 4
timeout_seconds = 60

[[limits]]
key = "global:llm:b:m:tokens"
kind = "rolling"
capacity = 20000
window_seconds = 1
unit = "tokens"

[[limits]]
key = "tenant:{tenant}:rps"
kind = "rolling"
capacity = 20
window_seconds = 1
"#;

/// Runs the command `load` with these words.
async fn load(line: &str) -> Ended {
    let words: Vec<_> = ["load"].into_iter().chain(line.split(' ')).collect();
    run(tollgate(&words)).await
}

/// What it printed as JSON.
#[track_caller]
fn json(ended: &Ended) -> Value {
    assert_eq!(ended.stderr, "", "nothing is shown where there is no terminal: {ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("`{field}` is no count: {report}"))
}
