//! The `tollgate` binary: reads the command line and runs what it asks for.

use std::process::ExitCode;

use clap::Parser;
use tollgate::cli::{Cli, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Also the answer to `--help`. Nothing is left to do when it cannot be printed.
            let _ = answer.print();
            return u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => Failure::runtime(format!("the async runtime did not start: {error}")).report(),
    }
}
