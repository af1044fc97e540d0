//! What decides when a job's turn comes.

use std::fmt;
use std::num::NonZeroU32;

use crate::policy::lease::Label;
use crate::policy::mistake::InvalidRequest;
use crate::policy::moment::Moment;
use crate::policy::priority::Priority;

/// A model of a provider: the jobs for it share its limits, and stand in one queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// Who serves the model.
    pub provider: Label,
    /// Which model.
    pub model: Label,
}

impl Upstream {
    /// Reads both names.
    ///
    /// # Errors
    /// Each that is none.
    pub fn parse(provider: &str, model: &str) -> Result<Self, InvalidRequest> {
        match (Label::parse(provider), Label::parse(model)) {
            (Ok(provider), Ok(model)) => Ok(Self { provider, model }),
            (provider, model) => {
                let mistakes =
                    [provider.err().map(|bad| bad.under("provider")), model.err().map(|bad| bad.under("model"))];
                Err(InvalidRequest(mistakes.into_iter().flatten().collect()))
            }
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.as_str(), self.model.as_str())
    }
}

/// What a schedule has to know of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// Its name, which no other job has that has not ended.
    pub id: Label,
    /// What it calls.
    pub upstream: Upstream,
    /// For whom; jobs without a tenant take turns as one.
    pub tenant: Option<Label>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it must have ended.
    pub deadline: Moment,
    /// How many attempts to reserve it may make, each under a lease id of its own; `None` for as many as fit before the
    /// deadline.
    pub attempts_max: Option<NonZeroU32>,
}

/// A job as a schedule keeps it. Cheap to clone: an `Arc`, mostly.
pub trait Scheduled: Clone {
    /// What decides when its turn comes. Always the same.
    fn spec(&self) -> &JobSpec;
}

impl Scheduled for std::sync::Arc<JobSpec> {
    fn spec(&self) -> &JobSpec {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_are_checked() {
        let told = Upstream::parse("", "").expect_err("two mistakes").to_string();
        assert_eq!(
            told,
            "`provider` is 0 bytes long; use 1 to 256 bytes, or leave it out | \
            `model` is 0 bytes long; use 1 to 256 bytes, or leave it out"
        );
        assert!(Upstream::parse("openai", "").is_err());
        assert_eq!(Upstream::parse("openai", "gpt-4o").expect("good names").to_string(), "openai/gpt-4o");
    }
}
