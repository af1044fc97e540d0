//! `tollgate breakers`: the circuit breakers, and what a person decides in their place.

mod list;
mod show;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::server::{Server, ServerArgs};
use super::text::shown;
use super::{Exit, Failure, output, path};

const PATH: &str = "/v1/breakers";
const ADMIN_PATH: &str = "/v1/admin/breakers";

/// What to do with which breakers, on which server.
#[derive(Args)]
pub(super) struct BreakersArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand)]
enum Action {
    /// Show every breaker
    List,
    /// Show one breaker
    Show(Name),
    /// Refuse every call, until `reset`
    Open(Name),
    /// Let every call through whatever comes of it, until `reset`
    Close(Name),
    /// Let every call through and count nothing, until `reset`
    Disable(Name),
    /// Undo the others and begin afresh, closed
    Reset(Name),
}

#[derive(Args)]
struct Name {
    /// Its name
    name: String,
}

pub(super) async fn run(args: BreakersArgs) -> Result<Exit, Failure> {
    let server = Server::new(&args.server)?;
    let json = args.server.json;
    match args.action {
        Action::List => list::run(&server, json).await?,
        Action::Show(Name { name }) => show::run(&server, &name, json).await?,
        Action::Open(Name { name }) => decide(&server, &name, "forced_open", json).await?,
        Action::Close(Name { name }) => decide(&server, &name, "forced_closed", json).await?,
        Action::Disable(Name { name }) => decide(&server, &name, "disabled", json).await?,
        Action::Reset(Name { name }) => decide(&server, &name, "none", json).await?,
    }
    Ok(Exit::Done)
}

async fn decide(server: &Server, name: &str, decision: &str, json: bool) -> Result<(), Failure> {
    let breaker = server.put(&path::under(ADMIN_PATH, name), &json!({"override": decision})).await?.accepted()?;
    if json {
        output::print_json(&breaker)
    } else {
        output::print(&format!("{} is {}\n", shown(&breaker, "name"), state(&breaker)))
    }
}

/// What a breaker does, and whether a person decided so.
fn state(breaker: &Value) -> String {
    match breaker["override"].as_str() {
        Some(decision) => super::text::plain(decision),
        None => shown(breaker, "state"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_decided_is_shown_in_place_of_the_state() {
        assert_eq!(state(&json!({"state": "half_open", "override": null})), "half_open");
        assert_eq!(state(&json!({"state": "closed", "override": "forced_closed"})), "forced_closed");
    }
}
