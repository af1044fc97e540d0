//! Tasks of this repository: `cargo xtask lint`, `cargo xtask test` and `cargo xtask bench`. They are what CI runs.

mod bench;
mod lint;
mod programs;
mod step;
mod test;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <TASK>

tasks:
  test   run every test of the workspace and build the examples
  lint   check the format, the lints and the documentation
  bench  run every benchmark, one after the other";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let steps = match words.as_slice() {
        ["test"] => test::steps(),
        ["lint"] => Ok(lint::steps()),
        ["bench"] => bench::steps(repository()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match steps {
        Ok(steps) => step::run(&steps, repository()),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}
