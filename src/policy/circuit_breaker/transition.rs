//! What a circuit breaker tells about itself.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::name::BreakerName;

/// What a circuit breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Lets them through.
    Closed,
    /// Refuses them.
    Open,
    /// Lets a few through, to see how they fare.
    HalfOpen,
}

impl BreakerState {
    /// The state's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a person has decided in place of the breaker. Holds until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// Refuses every call.
    ForcedOpen,
    /// Lets every call through, whatever comes of it.
    ForcedClosed,
    /// Lets every call through and counts nothing, not even for people.
    Disabled,
}

impl Override {
    /// The override's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
        }
    }
}

/// Why a breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too many failures in the window.
    FailureRate,
    /// Too many slow calls in the window.
    SlowCallRate,
    /// It has been open for as long as it had to be.
    OpenTimeOver,
    /// A probe failed, or was slow where that counts.
    ProbeFailed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// A person forced it open.
    ForcedOpen,
    /// A person forced it closed.
    ForcedClosed,
    /// A person disabled it.
    Disabled,
    /// A person let it begin afresh.
    Reset,
}

impl Cause {
    /// The cause's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowCallRate => "slow_call_rate",
            Self::OpenTimeOver => "open_time_over",
            Self::ProbeFailed => "probe_failed",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One change of one breaker. What a person does may leave the state what it was: `from` and `to` are the same then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The breaker.
    pub name: BreakerName,
    /// Its state before.
    pub from: BreakerState,
    /// Its state from now on.
    pub to: BreakerState,
    /// Of the new state; the first change makes it 2, and each further one adds 1.
    pub generation: u64,
    /// Why.
    pub cause: Cause,
}

/// A call was refused by its circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker `{name}` lets no call through; try again in {} ms", self.retry_after_ms())]
pub struct BreakerOpen {
    /// The breaker.
    pub name: BreakerName,
    /// When another try makes sense. While it is open: when it will let probes through. While all probes are out: when
    /// the next slot frees by itself, but at most a second. When forced open: the time it would stay open by itself,
    /// though nothing but a reset ends it.
    pub retry_after: Duration,
}

impl BreakerOpen {
    /// The wait in whole milliseconds, at least 1; rounded up, so that nobody comes too early.
    #[must_use]
    pub fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.retry_after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_breaker_and_when_to_come_back() {
        let name = BreakerName::parse("anthropic").expect("a good name");
        let refusal = |nanos| BreakerOpen { name: name.clone(), retry_after: Duration::from_nanos(nanos) };
        let text = "circuit breaker `anthropic` lets no call through; try again in 2 ms";
        assert_eq!(refusal(1_000_001).to_string(), text);
        assert_eq!(refusal(0).retry_after_ms(), 1, "never at once: the caller would spin");
    }

    #[test]
    fn names_are_those_of_the_wire() {
        fn json(value: impl Serialize) -> String {
            serde_json::to_string(&value).expect("a plain name")
        }
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            assert_eq!(json(state), format!("\"{state}\""));
        }
        for manual in [Override::ForcedOpen, Override::ForcedClosed, Override::Disabled] {
            assert_eq!(json(manual), format!("\"{}\"", manual.name()));
        }
        use Cause::{ConsecutiveFailures, Disabled, FailureRate, ForcedClosed, ForcedOpen};
        use Cause::{OpenTimeOver, ProbeFailed, ProbesSucceeded, Reset, SlowCallRate};
        let by_itself = [ConsecutiveFailures, FailureRate, SlowCallRate, OpenTimeOver, ProbeFailed, ProbesSucceeded];
        for cause in by_itself.into_iter().chain([ForcedOpen, ForcedClosed, Disabled, Reset]) {
            assert_eq!(json(cause), format!("\"{cause}\""));
        }
    }
}
