//! `tollgate complete`: ends a lease.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::amounts::{self, KeyAmount, parse_lease_id};
use super::server::{Server, ServerArgs};
use super::text::plain;
use super::{Exit, Failure, output};
use crate::policy::LeaseId;

/// Which lease, and what was used.
#[derive(Args)]
pub(super) struct CompleteArgs {
    /// The id that `tollgate reserve` printed
    #[arg(value_parser = parse_lease_id)]
    lease_id: LeaseId,
    /// What was really used; a key that is not named used what it reserved
    #[arg(value_name = "KEY=ACTUAL", value_parser = KeyAmount::parse)]
    actuals: Vec<KeyAmount>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: CompleteArgs) -> Result<Exit, Failure> {
    let server = Server::new(&args.server)?;
    let request = json!({"lease_id": args.lease_id.to_string(), "actuals": amounts::to_json(&args.actuals)});
    let answer = server.post("/v1/complete", &request, Duration::ZERO).await?.accepted()?;
    if args.server.json {
        output::print_json(&answer)?;
        return Ok(if answer["ok"] == true { Exit::Done } else { Exit::Failed });
    }
    check(&answer, args.lease_id)?;
    output::print(&format!("completed {}\n", args.lease_id))?;
    Ok(Exit::Done)
}

fn check(answer: &Value, lease_id: LeaseId) -> Result<(), Failure> {
    if answer["ok"] == true {
        return Ok(());
    }
    let code = answer["error"].as_str().unwrap_or("unknown");
    Err(Failure::runtime(format!("`{lease_id}` was not completed: `{}`", plain(code)))
        .with_hint("the same command can be given again, it counts once"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_that_failed_can_be_repeated() {
        let lease_id = LeaseId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("a ULID");
        assert_eq!(check(&json!({"ok": true, "error": ""}), lease_id), Ok(()));
        assert_eq!(
            check(&json!({"ok": false, "error": "backend_error"}), lease_id).expect_err("not completed").to_string(),
            "error: `01ARZ3NDEKTSV4RRFFQ69G5FAV` was not completed: `backend_error`\n\
             hint: the same command can be given again, it counts once\n"
        );
    }
}
