//! `tollgate reserve`: asks for a lease. Stdout gets the lease id and nothing else, so that scripts can keep it.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::amounts::{self, KeyAmount, parse_lease_id};
use super::server::{Answer, Server, ServerArgs};
use super::{Exit, Failure, output, refusal};
use crate::policy::{LeaseId, Priority};

/// What to reserve, for whom, and how long to wait for it.
#[derive(Args)]
pub(super) struct ReserveArgs {
    /// How much of which limits; all are granted, or none
    #[arg(required = true, value_name = "KEY=AMOUNT", value_parser = KeyAmount::parse)]
    requirements: Vec<KeyAmount>,
    /// Repeat an attempt whose outcome is unknown; a new id is made otherwise
    #[arg(long, value_name = "ULID", value_parser = parse_lease_id)]
    lease_id: Option<LeaseId>,
    /// For whom; tenants take turns where calls wait
    #[arg(long)]
    tenant: Option<String>,
    /// A name of the caller's own
    #[arg(long)]
    job_id: Option<String>,
    /// Wait for capacity, at most this many milliseconds
    #[arg(long, value_name = "MS")]
    wait: Option<u64>,
    /// How urgent it is, where calls wait
    #[arg(long, requires = "wait", value_parser = Priority::ALL.map(Priority::name))]
    priority: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: ReserveArgs) -> Result<Exit, Failure> {
    let server = Server::new(&args.server)?;
    let lease_id = args.lease_id.unwrap_or_else(LeaseId::generate);
    let path = if args.wait.is_some() { "/v1/acquire" } else { "/v1/reserve" };
    let wait = Duration::from_millis(args.wait.unwrap_or(0));
    let answer = server.post(path, &request(&args, lease_id), wait).await.and_then(Answer::accepted);
    let answer = answer.map_err(|failure| repeatable(failure, lease_id))?;
    if args.server.json {
        output::print_json(&answer)?;
    }
    let exit = judge(&answer).map_err(|failure| repeatable(failure, lease_id))?;
    match exit {
        _ if args.server.json => {}
        Exit::Done => output::print(&format!("{lease_id}\n"))?,
        _ => refusal::report(&answer),
    }
    Ok(exit)
}

fn judge(answer: &Value) -> Result<Exit, Failure> {
    if answer["allowed"] == true {
        return Ok(Exit::Done);
    }
    if answer["error"] == "backend_error" {
        return Err(Failure::runtime("the server's backend did not answer").with_unknown_outcome());
    }
    Ok(Exit::Denied)
}

fn request(args: &ReserveArgs, lease_id: LeaseId) -> Value {
    let fields = [
        ("lease_id", Some(json!(lease_id.to_string()))),
        ("requirements", Some(amounts::to_json(&args.requirements))),
        ("tenant", args.tenant.as_ref().map(|tenant| json!(tenant))),
        ("job_id", args.job_id.as_ref().map(|job_id| json!(job_id))),
        ("max_wait_ms", args.wait.map(|wait| json!(wait))),
        ("priority", args.priority.as_ref().map(|priority| json!(priority))),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

/// Says how to find out whether the reservation was made: under the same id it counts once.
fn repeatable(failure: Failure, lease_id: LeaseId) -> Failure {
    if !failure.outcome_is_unknown() {
        return failure;
    }
    failure.with_hint(format!("it may be reserved or not; repeat it with `--lease-id {lease_id}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const LEASE_ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReserveArgs,
    }

    fn requested(words: &str) -> Value {
        let line = Line::try_parse_from(["reserve"].into_iter().chain(words.split(' '))).expect("a good line");
        request(&line.args, LeaseId::parse(LEASE_ID).expect("a ULID"))
    }

    #[test]
    fn a_request_holds_what_was_given_and_nothing_else() {
        let requirements = json!([{"key": "a:b", "amount": 2}]);
        assert_eq!(requested("a:b=2"), json!({"lease_id": LEASE_ID, "requirements": requirements}));
        assert_eq!(
            requested("a:b=2 --tenant acme --job-id 7 --wait 500 --priority low"),
            json!({"lease_id": LEASE_ID, "requirements": requirements, "tenant": "acme", "job_id": "7",
                "max_wait_ms": 500, "priority": "low"})
        );
    }

    #[test]
    fn an_answer_is_granted_denied_or_unknown() {
        assert_eq!(judge(&json!({"allowed": true, "error": ""})), Ok(Exit::Done));
        assert_eq!(judge(&json!({"allowed": false, "error": "never_fits:a"})), Ok(Exit::Denied));
        let unknown = judge(&json!({"allowed": false, "error": "backend_error"})).expect_err("an unknown outcome");
        assert_eq!(unknown.to_string(), "error: the server's backend did not answer\n");
        assert!(unknown.outcome_is_unknown());
    }

    #[test]
    fn an_unknown_outcome_is_to_be_repeated_under_the_same_id() {
        let lease_id = LeaseId::parse(LEASE_ID).expect("a ULID");
        let unknown = Failure::runtime("it broke").with_unknown_outcome();
        assert_eq!(
            repeatable(unknown, lease_id).to_string(),
            format!("error: it broke\nhint: it may be reserved or not; repeat it with `--lease-id {LEASE_ID}`\n")
        );
        assert_eq!(repeatable(Failure::runtime("refused"), lease_id).to_string(), "error: refused\n");
    }
}
