//! The command line: one file per command. Data goes to stdout, everything else to stderr.

mod amounts;
mod breakers;
mod check;
mod complete;
#[cfg(feature = "tigerbeetle")]
mod dev_cluster;
mod failure;
mod limits;
mod load;
mod log;
mod output;
mod path;
mod refusal;
mod reserve;
mod serve;
mod server;
mod status;
mod table;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;

/// Reserves, limits and accounts LLM calls.
#[derive(Parser)]
#[command(name = "tollgate", version, about, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Report every mistake in the configuration, and start nothing
    Check(check::CheckArgs),
    /// Show, change and delete limits
    Limits(limits::LimitsArgs),
    /// Show circuit breakers, and decide in their place
    Breakers(breakers::BreakersArgs),
    /// Show the server, its backend and its actors
    Status(status::StatusArgs),
    /// Reserve what a call may use, and print the lease id
    Reserve(reserve::ReserveArgs),
    /// End a lease, and state what was really used
    Complete(complete::CompleteArgs),
    /// Make load on a server or in this process, and check what was granted
    Load(load::LoadArgs),
    /// Run a TigerBeetle cluster on this machine, for development
    #[cfg(feature = "tigerbeetle")]
    DevCluster(dev_cluster::DevClusterArgs),
}

impl Cli {
    /// Runs the command. What goes wrong is told on stderr and in the exit code.
    pub async fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Check(args) => check::run(&args),
            Command::Limits(args) => limits::run(args).await,
            Command::Breakers(args) => breakers::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Reserve(args) => reserve::run(args).await,
            Command::Complete(args) => complete::run(args).await,
            Command::Load(args) => load::run(args).await,
            #[cfg(feature = "tigerbeetle")]
            Command::DevCluster(args) => dev_cluster::run(args).await,
        };
        match outcome {
            Ok(exit) => exit.into(),
            Err(failure) => failure.report(),
        }
    }
}

/// How a command ended; scripts read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Denied = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_parse() {
        for line in [
            "serve",
            "serve --config a.toml --listen 127.0.0.1:0 --data-dir data --backend memory",
            "check --config a.toml",
            "limits list",
            "limits list --json --server http://localhost:9000",
            "limits --server http://localhost:9000 get a:b",
            "limits put limit.json",
            "limits put -",
            "limits put --key a --kind rolling --capacity 5 --window-seconds 60 --unit requests --overage repay",
            "limits put --key a --kind token_bucket --capacity 5 --refill-amount 1 --refill-seconds 2 --mode shadow",
            "limits delete a:b",
            "breakers list --json",
            "breakers show anthropic:claude-sonnet",
            "breakers open a",
            "breakers close a",
            "breakers disable a",
            "breakers --server http://localhost:9000 reset a",
            "status --token secret",
            "reserve a:b=1 c=20 --tenant acme --job-id 7 --lease-id 01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "reserve a=1 --wait 5000 --priority high",
            "complete 01ARZ3NDEKTSV4RRFFQ69G5FAV a=0 b=7",
            "complete 01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "load --mode http --verify --duration 60s --concurrency 200 --server http://localhost:9000",
            "load --mode local --backend memory --providers 3 --keys 100 --batch-size 16 --hot-key 20 --think-ms 5 --json",
            "load --rate 500 --duration 5m --verify --history 5000",
        ] {
            let words = ["tollgate"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[cfg(feature = "tigerbeetle")]
    #[test]
    fn the_commands_of_a_cluster_parse() {
        for line in ["start", "start --replicas 3 --dir a --port 3100", "stop", "stop --dir a", "status --dir a"] {
            let words = ["tollgate", "dev-cluster"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for (line, told) in [
            ("start --replicas 2", "a development cluster has 1 or 3 replicas"),
            ("start --port 0", "0 is not in 1..=65535"),
        ] {
            let words = ["tollgate", "dev-cluster"].into_iter().chain(line.split(' '));
            let refusal = Cli::try_parse_from(words).err().expect("wrong usage");
            assert!(refusal.to_string().contains(told), "{line} is answered by {refusal}");
        }
    }

    #[test]
    fn wrong_usage_says_what_to_write() {
        for (line, told) in [
            ("serve --backend sqlite", "no such backend; use `memory`"),
            ("serve --listen here", "invalid socket address"),
            ("reserve", "<KEY=AMOUNT>"),
            ("reserve a", "`a` names no amount; write `KEY=AMOUNT`"),
            ("reserve a=1 --priority high", "--wait <MS>"),
            ("reserve a=1 --wait 1 --priority urgent", "[possible values: high, normal, low]"),
            ("reserve a=1 --lease-id x", "`lease_id` is `x`, which is no ULID"),
            ("complete x", "which is no ULID"),
            ("limits put", "--key <KEY>"),
            ("limits put limit.json --key a", "cannot be used with"),
            ("limits put --key a --kind fixed --capacity 1", "[possible values: rolling, concurrency, token_bucket]"),
            ("load --mode grpc", "[possible values: http, local]"),
            ("load --duration soon", "it is no time; write it as `500ms`, `60s` or `5m`"),
            ("load --hot-key 101", "101 is not in 0..=100"),
            ("breakers trip a", "unrecognized subcommand 'trip'"),
            ("breakers open", "<NAME>"),
            ("status --server https://a", "only plain `http` is spoken"),
        ] {
            let words = ["tollgate"].into_iter().chain(line.split(' '));
            let refusal = Cli::try_parse_from(words).err().expect("wrong usage");
            assert_eq!(refusal.exit_code(), i32::from(Exit::Usage as u8), "{line}");
            assert!(refusal.to_string().contains(told), "{line} is answered by {refusal}");
        }
    }
}
