//! Why a command failed, as people read it on stderr.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use hyper::StatusCode;
use serde_json::Value;

use super::Exit;
use super::text::{MISSING, plain, shown};

/// A command that failed: what happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    outcome_is_unknown: bool,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: None, outcome_is_unknown: false }
    }

    /// What was asked for did not work.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// What was asked for makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same with every single mistake, each on its own line.
    #[must_use]
    pub fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// The same with what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, said of a part of the work.
    #[must_use]
    pub(super) fn within(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The same, for a request that the server may have carried out all the same.
    pub(super) fn with_unknown_outcome(mut self) -> Self {
        self.outcome_is_unknown = true;
        self
    }

    pub(super) const fn outcome_is_unknown(&self) -> bool {
        self.outcome_is_unknown
    }

    /// What a refusing server explains, as `application/problem+json` or not at all.
    pub(super) fn of_answer(status: StatusCode, problem: &Value) -> Self {
        let mistakes = problem["errors"].as_array().map_or([].as_slice(), Vec::as_slice);
        // The detail of several mistakes is all of them in one line.
        let fields: &[&str] = if mistakes.is_empty() { &["title", "detail"] } else { &["title"] };
        let said: Vec<_> = fields.iter().map(|field| shown(problem, field)).filter(|text| text != MISSING).collect();
        let message = if said.is_empty() { format!("the server answered `{status}`") } else { said.join(": ") };
        let failure = Self::runtime(message).with_details(mistakes.iter().map(mistake_text).collect());
        match status {
            StatusCode::UNAUTHORIZED => failure.with_hint("name a token with `--token` or `TOLLGATE_TOKEN`"),
            StatusCode::FORBIDDEN => failure.with_hint("name a token of the `admin` scope with `--token`"),
            status if status.is_server_error() => failure.with_unknown_outcome(),
            _ => failure,
        }
    }

    /// Tells it on stderr, and gives the exit code that belongs to it.
    pub fn report(&self) -> ExitCode {
        // Nobody is left to tell when stderr is gone.
        let _ = write!(io::stderr(), "{self}");
        self.exit.into()
    }
}

fn mistake_text(mistake: &Value) -> String {
    let mut text = format!("`{}` {}", shown(mistake, "field"), shown(mistake, "problem"));
    if let Some(hint) = mistake["hint"].as_str().filter(|hint| !hint.is_empty()) {
        text.push_str("; ");
        text.push_str(&plain(hint));
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        self.details.iter().try_for_each(|detail| writeln!(f, "  {detail}"))?;
        self.hint.iter().try_for_each(|hint| writeln!(f, "hint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(status: u16, problem: &Value) -> String {
        Failure::of_answer(StatusCode::from_u16(status).expect("a status"), problem).to_string()
    }

    #[test]
    fn a_failure_is_an_error_its_details_and_a_hint() {
        let failure = Failure::usage("`a` is wrong").with_details(vec!["because".to_owned()]).with_hint("use `b`");
        assert_eq!(failure.to_string(), "error: `a` is wrong\n  because\nhint: use `b`\n");
        assert_eq!(Failure::runtime("it broke").to_string(), "error: it broke\n");
    }

    #[test]
    fn a_problem_shows_its_title_and_its_detail_or_every_mistake_once() {
        let detail = "`capacity` is 0; use at least 1, `kind` is missing";
        let problem = json!({"title": "bad request", "detail": detail, "status": 400, "errors": [
            {"field": "capacity", "problem": "is 0", "hint": "use at least 1"},
            {"field": "kind", "problem": "is missing"},
        ]});
        assert_eq!(told(400, &problem), "error: bad request\n  `capacity` is 0; use at least 1\n  `kind` is missing\n");
        assert_eq!(told(404, &json!({"title": "not found"})), "error: not found\n");
        let problem = json!({"title": "not found", "detail": "no such limit"});
        assert_eq!(told(404, &problem), "error: not found: no such limit\n");
    }

    #[test]
    fn an_answer_without_explanation_is_told_by_its_status() {
        assert_eq!(told(502, &Value::Null), "error: the server answered `502 Bad Gateway`\n");
        assert!(told(401, &Value::Null).ends_with("hint: name a token with `--token` or `TOLLGATE_TOKEN`\n"));
        assert!(told(403, &Value::Null).ends_with("hint: name a token of the `admin` scope with `--token`\n"));
    }

    #[test]
    fn only_a_failing_server_leaves_the_outcome_unknown() {
        for (status, unknown) in [(400, false), (404, false), (500, true), (503, true)] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Failure::of_answer(status, &Value::Null).outcome_is_unknown(), unknown, "{status}");
        }
    }
}
