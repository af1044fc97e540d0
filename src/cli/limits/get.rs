//! `tollgate limits get`: one definition, and what is used of it.

use serde_json::Value;

use super::{ADMIN_PATH, Failure, Server, USAGE_PATH, shown, status, window};
use crate::cli::server::Answer;
use crate::cli::table::pairs;
use crate::cli::text::MISSING;
use crate::cli::{output, path};

pub(super) async fn run(server: &Server, key: &str, json: bool) -> Result<(), Failure> {
    let answer = server.get(&path::under(ADMIN_PATH, key)).await?.accepted()?;
    if json {
        return output::print_json(&answer);
    }
    // A template has no usage of its own.
    let usage = server.get(&path::under(USAGE_PATH, key)).await.and_then(Answer::accepted).unwrap_or_default();
    output::print(&description(&answer["limit"], &usage))
}

fn description(limit: &Value, usage: &Value) -> String {
    let definition = &limit["definition"];
    let mut lines: Vec<_> =
        ["key", "kind", "capacity", "unit", "overage", "mode"].map(|field| (field, shown(definition, field))).into();
    lines.insert(3, ("window", window(definition)));
    lines.push(("when_unavailable", when_unavailable(definition)));
    lines.extend([("status", status(limit)), ("version", shown(limit, "version"))]);
    lines.extend(["superseded_by_version", "not_in_force"].map(|field| (field, shown(limit, field))));
    lines.push(("description", shown(definition, "description")));
    let used = ["used", "available", "withheld", "debt", "waiters", "denied", "would_deny"];
    lines.extend(used.map(|field| (field, shown(usage, field))));
    lines.extend(usage["paused_until"].as_u64().map(|ms| ("paused_until", format!("{ms} (Unix milliseconds)"))));
    lines.retain(|(_, value)| value != MISSING);
    pairs(&lines)
}

/// What it answers while its ledger does not, with the part that each server may then grant.
fn when_unavailable(definition: &Value) -> String {
    let answer = shown(definition, "when_unavailable");
    match definition["local_share_percent"].as_u64() {
        Some(percent) => format!("{answer} of {percent} %"),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_known_is_shown() {
        let definition =
            json!({"key": "a:b", "kind": "rolling", "capacity": 60, "window_seconds": 60, "mode": "shadow"});
        let limit = json!({"definition": definition, "status": "active", "version": 3});
        assert_eq!(
            description(&limit, &json!({"used": 10, "available": 50, "would_deny": 0})),
            concat!(
                "key         a:b\n",
                "kind        rolling\n",
                "capacity    60\n",
                "window      1m\n",
                "mode        shadow\n",
                "status      active\n",
                "version     3\n",
                "used        10\n",
                "available   50\n",
                "would_deny  0\n",
            )
        );
        let definition = json!({"key": "a", "when_unavailable": "local_share", "local_share_percent": 25});
        let limit_elsewhere = json!({"definition": definition, "version": 3, "superseded_by_version": 7});
        assert_eq!(
            description(&limit_elsewhere, &Value::Null),
            concat!(
                "key                    a\n",
                "when_unavailable       local_share of 25 %\n",
                "status                 superseded\n",
                "version                3\n",
                "superseded_by_version  7\n",
            )
        );
        let paused = description(&limit, &json!({"withheld": 3, "paused_until": 1_790_000_000_000_u64}));
        assert!(paused.ends_with("withheld      3\npaused_until  1790000000000 (Unix milliseconds)\n"), "{paused}");
        assert!(description(&limit, &json!({"paused_until": null})).ends_with("version   3\n"));
        assert!(description(&limit, &Value::Null).ends_with("version   3\n"));
    }
}
