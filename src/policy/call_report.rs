//! What a caller tells when its call is over.

use super::moment::Moment;
use super::outcome::{Class, Outcome};
use super::provider_signals::{
    Dimension, Provider, ProviderResponse, SignalRestraint, SignalVerdict, Signals, read_signals,
};
use super::restraint::Restraint;

/// How a call ended, and what its provider said of its own limits.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Whose limits `signals` speaks of.
    pub provider: Provider,
    /// What the provider said of its limits.
    pub signals: Signals,
    /// What the outcome says about the upstream; `None` leaves that to the runtime's own classes.
    pub class: Option<Class>,
}

impl CallReport {
    /// A report without a word of the provider's limits.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self { outcome, ..Self::default() }
    }

    /// A report of an answer that arrived at wall time `now_unix_ms`.
    #[must_use]
    pub fn of_response(provider: Provider, response: &ProviderResponse<'_>, now_unix_ms: u64) -> Self {
        let signals = read_signals(provider, response, now_unix_ms);
        let retry_after = signals.retry_after(now_unix_ms);
        let outcome = Outcome { retry_after, ..Outcome::of_status(response.status) };
        Self { outcome, provider, signals, class: None }
    }

    /// What it does to limits. An overload that an upstream tells by a 429 pauses them, as any 429 does that says for
    /// how long; told by a 5xx it is the breaker's to count.
    #[must_use]
    pub fn restraints(&self, now: Moment, now_unix_ms: u64) -> Vec<SignalRestraint> {
        let mut restraints = self.signals.restraints(now, now_unix_ms);
        if let SignalVerdict::Overload { after: Some(after) } = self.signals.verdict
            && self.outcome.status == Some(429)
        {
            let restraint = Restraint::Pause { until: now.after(after) };
            restraints.push(SignalRestraint { dimension: Dimension::Any, restraint });
        }
        restraints
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WAIT: [(&str, &str); 1] = [("retry-after", "7")];

    fn report(provider: Provider, status: u16, body: &str) -> CallReport {
        let response = ProviderResponse { status, headers: &WAIT, body: body.as_bytes() };
        CallReport::of_response(provider, &response, 1_000)
    }

    fn pauses(report: &CallReport) -> Vec<SignalRestraint> {
        report.restraints(Moment::START, 1_000)
    }

    #[test]
    fn an_overload_pauses_limits_only_where_it_does_not_count_as_a_failure() {
        let slow_down = report(Provider::OpenAi, 429, r#"{"error": {"code": "slow_down"}}"#);
        let until = Moment::START.after(Duration::from_secs(7));
        let pause = SignalRestraint { dimension: Dimension::Any, restraint: Restraint::Pause { until } };
        assert_eq!(slow_down.signals.verdict, SignalVerdict::Overload { after: Some(Duration::from_secs(7)) });
        assert_eq!(pauses(&slow_down), [pause]);
        let overloaded = report(Provider::Anthropic, 529, r#"{"error": {"type": "overloaded_error"}}"#);
        assert_eq!(pauses(&overloaded), []);
        assert_eq!(overloaded.outcome.retry_after, Some(Duration::from_secs(7)), "the breaker's floor");
    }

    #[test]
    fn a_429_that_says_for_how_long_pauses() {
        let limited = report(Provider::Anthropic, 429, "");
        assert_eq!(pauses(&limited).len(), 1);
        assert_eq!((limited.outcome.status, limited.outcome.retry_after), (Some(429), Some(Duration::from_secs(7))));
        assert_eq!(pauses(&CallReport::new(Outcome::of_status(429))), []);
    }
}
