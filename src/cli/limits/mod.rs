//! `tollgate limits`: the definitions that the server keeps.

mod delete;
mod get;
mod list;
mod put;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::server::{Server, ServerArgs};
use super::text::{MISSING, exact_span, shown};
use super::{Exit, Failure};

const ADMIN_PATH: &str = "/v1/admin/limits";
const USAGE_PATH: &str = "/v1/limits";

/// What to do with which limits, on which server.
#[derive(Args)]
pub(super) struct LimitsArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand)]
enum Action {
    /// Show every limit
    List,
    /// Show one limit
    Get {
        /// Its key
        key: String,
    },
    /// Make or change a limit
    Put(Box<put::PutArgs>),
    /// Delete a limit
    Delete {
        /// Its key
        key: String,
    },
}

pub(super) async fn run(args: LimitsArgs) -> Result<Exit, Failure> {
    let server = Server::new(&args.server)?;
    match args.action {
        Action::List => list::run(&server, args.server.json).await?,
        Action::Get { key } => get::run(&server, &key, args.server.json).await?,
        Action::Put(what) => put::run(&server, &what, args.server.json).await?,
        Action::Delete { key } => delete::run(&server, &key, args.server.json).await?,
    }
    Ok(Exit::Done)
}

/// What time means to this definition: its window, its timeout, or its refill.
fn window(definition: &Value) -> String {
    let span = |field: &str| definition[field].as_u64().map(exact_span);
    let refill = || Some(format!("{}/{}", shown(definition, "refill_amount"), span("refill_seconds")?));
    span("window_seconds").or_else(|| span("timeout_seconds")).or_else(refill).unwrap_or_else(|| MISSING.to_owned())
}

/// The state of a limit as the server keeps it, unless the ledger follows something else.
fn status(limit: &Value) -> String {
    if !limit["superseded_by_version"].is_null() {
        return "superseded".to_owned();
    }
    if !limit["not_in_force"].is_null() {
        return "not in force".to_owned();
    }
    let status = shown(limit, "status");
    match limit["pending_decrease_to"].as_u64() {
        Some(target) => format!("{status} to {target}"),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_has_its_window() {
        let windows = [
            json!({"window_seconds": 86_400}),
            json!({"timeout_seconds": 90}),
            json!({"refill_amount": 10, "refill_seconds": 60}),
            json!({}),
        ];
        assert_eq!(windows.each_ref().map(window), ["1d", "90s", "10/1m", "-"]);
    }

    #[test]
    fn a_limit_that_the_ledger_does_not_follow_says_so() {
        let limit = json!({"status": "decreasing", "pending_decrease_to": 5});
        let with = |name: &str, value: Value| {
            let mut limit = limit.clone();
            limit[name] = value;
            status(&limit)
        };
        assert_eq!(with("superseded_by_version", json!(7)), "superseded");
        assert_eq!(with("not_in_force", json!("the ledger is away")), "not in force");
    }

    #[test]
    fn a_decreasing_limit_shows_where_to() {
        assert_eq!(status(&json!({"status": "active", "pending_decrease_to": null})), "active");
        assert_eq!(status(&json!({"status": "decreasing", "pending_decrease_to": 5})), "decreasing to 5");
    }
}
