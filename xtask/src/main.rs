//! Tasks of this repository: `cargo xtask test`, `lint`, `bench` and `tigerbeetle`. They are what CI runs.

mod bench;
mod lint;
mod pip;
mod programs;
mod step;
mod test;
mod tigerbeetle;
mod toolchain;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <TASK>

tasks:
  test         run every test of the workspace and build the examples
  lint         check the format, the lints and the documentation
  bench        run every benchmark, one after the other
  tigerbeetle  make what the feature `tigerbeetle` needs in `.toolchain/`, and print where the server is;
               the other tasks do so by themselves";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let repository = repository();
    let done = match words.as_slice() {
        ["test"] => test::steps(repository).map(|steps| step::run(&steps, repository)),
        ["lint"] => lint::steps(repository).map(|steps| step::run(&steps, repository)),
        ["bench"] => bench::steps(repository).map(|steps| step::run(&steps, repository)),
        ["tigerbeetle"] => toolchain::for_runs(repository).map(|server| {
            println!("{}", server.display());
            ExitCode::SUCCESS
        }),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::FAILURE
    })
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}
