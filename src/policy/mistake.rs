//! What is wrong with something a person wrote, and what to do about it.

use std::fmt;

/// One mistake in a definition, a request or a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The field, as a path: `window_seconds`, `requirements[2].amount`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl Mistake {
    /// States one mistake.
    pub fn new(field: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), hint: hint.into() }
    }

    /// The same mistake, one level further out: `[2].amount` under `requirements` is `requirements[2].amount`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{parent}{dot}{}", self.field);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}; {}", self.field, self.problem, self.hint)
    }
}

/// Every mistake of one request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join(" | "))]
pub struct InvalidRequest(pub Vec<Mistake>);
