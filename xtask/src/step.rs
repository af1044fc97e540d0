//! Steps of a task: commands, nearly all of cargo, run in order until one fails, with a summary at the end.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// One command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    program: &'static str,
    arguments: String,
    environment: Vec<(&'static str, OsString)>,
}

impl Step {
    /// `cargo` with these arguments, separated by spaces.
    pub(crate) fn cargo(arguments: impl Into<String>) -> Self {
        Self::program("cargo", arguments)
    }

    /// Another program with these arguments, separated by spaces.
    pub(crate) fn program(program: &'static str, arguments: impl Into<String>) -> Self {
        Self { program, arguments: arguments.into(), environment: Vec::new() }
    }

    /// The same with a variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn passes(&self, directory: &Path) -> bool {
        let mut command = if self.program == "cargo" { cargo() } else { Command::new(self.program) };
        command.args(self.arguments.split(' ')).envs(self.environment.iter().cloned()).current_dir(directory);
        match command.status() {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("error: `{}` did not start: {error}", self.program);
                false
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.program, self.arguments)
    }
}

/// The cargo that runs this task, not another one that comes first in the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs the steps up to the first that fails.
pub(crate) fn run(steps: &[Step], directory: &Path) -> ExitCode {
    let passed = |step: &&Step| {
        eprintln!("\n== {step}");
        step.passes(directory)
    };
    let passed = steps.iter().take_while(passed).count();
    eprintln!("\n{}", summary(steps, passed));
    if passed == steps.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What became of each step when the first `passed` of them passed.
fn summary(steps: &[Step], passed: usize) -> String {
    let line = |(index, step): (usize, &Step)| {
        let outcome = match index.cmp(&passed) {
            Ordering::Less => "pass",
            Ordering::Equal => "FAIL",
            Ordering::Greater => "not run",
        };
        format!("{outcome:<8}{step}")
    };
    steps.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_what_became_of_each_step() {
        let steps = [Step::cargo("fmt"), Step::cargo("test"), Step::program("nix", "doc")];
        assert_eq!(summary(&steps, 1), "pass    cargo fmt\nFAIL    cargo test\nnot run nix doc");
        assert_eq!(summary(&steps, 3), "pass    cargo fmt\npass    cargo test\npass    nix doc");
    }
}
