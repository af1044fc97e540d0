//! `tollgate limits list`: one table of all definitions, with what is free of each where the server tells.

use std::collections::HashMap;

use serde_json::Value;

use super::{ADMIN_PATH, Failure, Server, USAGE_PATH, shown, status, window};
use crate::cli::output;
use crate::cli::path::encoded;
use crate::cli::server::Answer;
use crate::cli::table::table;
use crate::cli::text::MISSING;

/// A template can stand for a million limits: usage is read this far and no further.
const USAGE_PAGES_MAX: usize = 10;
const USAGE_PAGE_LIMITS: usize = 1000;

pub(super) async fn run(server: &Server, json: bool) -> Result<(), Failure> {
    let answer = server.get(ADMIN_PATH).await?.accepted()?;
    if json {
        return output::print_json(&answer);
    }
    output::print(&listing(&answer, &usages(server).await))
}

/// The usage of one limit, as the table shows it.
struct Used {
    available: String,
    is_paused: bool,
}

impl Used {
    fn new(usage: &Value) -> Self {
        Self { available: shown(usage, "available"), is_paused: usage["paused_until"].is_u64() }
    }
}

/// What is free of each limit. Empty where usage is not to be had: definitions are worth showing without it.
async fn usages(server: &Server) -> HashMap<String, Used> {
    let mut usages = HashMap::new();
    let mut cursor = None;
    for _ in 0..USAGE_PAGES_MAX {
        let from = cursor.map(|cursor: String| format!("&cursor={}", encoded(&cursor))).unwrap_or_default();
        let page = server.get(&format!("{USAGE_PATH}?limit={USAGE_PAGE_LIMITS}{from}")).await;
        let Ok(page) = page.and_then(Answer::accepted) else { break };
        let limits = page["limits"].as_array().into_iter().flatten();
        usages.extend(limits.map(|limit| (shown(limit, "key"), Used::new(limit))));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    usages
}

fn listing(answer: &Value, usages: &HashMap<String, Used>) -> String {
    let limits = answer["limits"].as_array().map_or([].as_slice(), Vec::as_slice);
    let row = |limit: &Value| {
        let definition = &limit["definition"];
        let key = shown(definition, "key");
        let usage = usages.get(&key);
        let free = usage.map_or_else(|| MISSING.to_owned(), |usage| usage.available.clone());
        let paused = if usage.is_some_and(|usage| usage.is_paused) { ", paused" } else { "" };
        let field = |name: &str| shown(definition, name);
        let window = window(definition);
        let [kind, capacity, unit] = ["kind", "capacity", "unit"].map(field);
        [key, kind, capacity, free, window, unit, field("overage"), field("mode"), status(limit) + paused]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    table(["KEY", "KIND", "CAPACITY", "AVAILABLE", "WINDOW", "UNIT", "OVERAGE", "MODE", "STATUS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn definitions_and_usage_are_one_table() {
        let limit = |definition| json!({"definition": definition, "status": "active"});
        let answer = json!({"limits": [
            limit(json!({"key": "rpm", "kind": "token_bucket", "capacity": 60, "refill_amount": 1, "refill_seconds": 1,
                "unit": "requests", "overage": "debt", "mode": "enforce"})),
            limit(json!({"key": "tenant:{tenant}:daily", "kind": "rolling", "capacity": 900_000, "window_seconds": 86_400})),
        ]});
        let usage = Used::new(&json!({"available": 59, "paused_until": 1_790_000_000_000_u64}));
        let available = HashMap::from([("rpm".to_owned(), usage)]);
        assert_eq!(
            listing(&answer, &available),
            concat!(
                "KEY                    KIND          CAPACITY  AVAILABLE  WINDOW  UNIT      OVERAGE  MODE     STATUS\n",
                "rpm                    token_bucket        60         59  1/1s    requests  debt     enforce  active, paused\n",
                "tenant:{tenant}:daily  rolling         900000          -  1d      -         -        -        active\n",
            )
        );
    }

    #[test]
    fn no_limits_are_an_empty_table() {
        let header = "KEY  KIND  CAPACITY  AVAILABLE  WINDOW  UNIT  OVERAGE  MODE  STATUS\n";
        assert_eq!(listing(&json!({"limits": []}), &HashMap::new()), header);
        assert_eq!(listing(&json!({}), &HashMap::new()), header);
    }
}
