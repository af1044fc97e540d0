//! `tollgate dev-cluster`: a TigerBeetle cluster on this machine, for development. Its processes outlive the command.

mod binary;
mod cluster;
mod folder;
mod process;
mod start;
mod starting;
mod status;
mod stop;

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::{Exit, Failure};
use crate::config::TigerBeetleSettings;
use folder::Folder;

/// What to do with the cluster.
#[derive(Args)]
pub(super) struct DevClusterArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start its replicas, each with 1.45 GiB of memory, and make their files, 1.06 GiB each, if there are none
    Start(StartArgs),
    /// Stop its replicas; their files stay
    Stop(FolderArgs),
    /// Show its replicas
    Status(FolderArgs),
}

#[derive(Args)]
struct StartArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// How many replicas, 1 or 3 [default: as many as there are files, or 1]
    #[arg(long, value_name = "COUNT", value_parser = parse_replicas)]
    replicas: Option<u16>,
    /// Where the first listens on 127.0.0.1; the others follow
    #[arg(long, value_name = "PORT", default_value_t = TigerBeetleSettings::PORT, value_parser = value_parser!(u16).range(1..))]
    port: u16,
}

#[derive(Args)]
struct FolderArgs {
    /// Where its files, its logs and the ids of its processes are
    #[arg(long, value_name = "DIR", default_value = "data/tigerbeetle")]
    dir: PathBuf,
}

/// One replica is the least, three are the least that work without any one of them.
fn parse_replicas(text: &str) -> Result<u16, String> {
    let count = text.parse().ok().filter(|count| [1, 3].contains(count));
    count.ok_or_else(|| "a development cluster has 1 or 3 replicas".to_owned())
}

pub(super) async fn run(args: DevClusterArgs) -> Result<Exit, Failure> {
    match args.action {
        Action::Start(args) => start::run(&args).await?,
        Action::Stop(args) => stop::run(&Folder::at(&args.dir)).await?,
        Action::Status(args) => status::run(&Folder::at(&args.dir))?,
    }
    Ok(Exit::Done)
}
