//! Steps of a task: cargo commands, run in order until one fails, with a summary at the end.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

/// One cargo command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    arguments: String,
    environment: Vec<(&'static str, OsString)>,
}

impl Step {
    /// `cargo` with these arguments, separated by spaces.
    pub(crate) fn cargo(arguments: impl Into<String>) -> Self {
        Self { arguments: arguments.into(), environment: Vec::new() }
    }

    /// The same with a variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn passes(&self, directory: &Path) -> bool {
        // The cargo that runs this task, not another one that comes first in the path.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(self.arguments.split(' ')).envs(self.environment.iter().cloned()).current_dir(directory);
        match command.status() {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("error: `cargo` did not start: {error}");
                false
            }
        }
    }
}

/// Runs the steps up to the first that fails.
pub(crate) fn run(steps: &[Step], directory: &Path) -> ExitCode {
    let passed = |step: &&Step| {
        eprintln!("\n== cargo {}", step.arguments);
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
        format!("{outcome:<8}cargo {}", step.arguments)
    };
    steps.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_what_became_of_each_step() {
        let steps = ["fmt", "test", "doc"].map(Step::cargo);
        assert_eq!(summary(&steps, 1), "pass    cargo fmt\nFAIL    cargo test\nnot run cargo doc");
        assert_eq!(summary(&steps, 3), "pass    cargo fmt\npass    cargo test\npass    cargo doc");
    }
}
