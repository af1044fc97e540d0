//! Whether a call is made once more, and when.

use std::time::Duration;

use crate::policy::CallReport;
use crate::policy::{Backoff, Class, SignalVerdict};

/// How often a call is made again when it fails. Without one a call is made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts, the first one included; 0 and 1 are the same.
    pub attempts_max: u32,
    /// The least time between an attempt and the next.
    pub backoff: Backoff,
}

impl RetryPolicy {
    /// At most `attempts_max` attempts, with half a second after the first, doubled after each up to 30 s, and up to a
    /// quarter of a second more.
    #[must_use]
    pub fn attempts(attempts_max: u32) -> Self {
        let ms = Duration::from_millis;
        Self { attempts_max, backoff: Backoff::new(ms(500), 200, ms(30_000), ms(250)) }
    }

    /// The same with other times between attempts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long to wait before the attempt after this one; `None` if another would not help.
    pub(super) fn delay_after(&self, attempt: u32, report: &CallReport, random: u64) -> Option<Duration> {
        let may_pass = match (report.class, report.signals.verdict) {
            (_, SignalVerdict::Never { .. }) | (Some(Class::Success), _) => false,
            (class, SignalVerdict::None) => class == Some(Class::Failure),
            (_, SignalVerdict::Wait { .. } | SignalVerdict::Until { .. } | SignalVerdict::Overload { .. }) => true,
        };
        if !may_pass || self.attempts_max <= attempt {
            return None;
        }
        let streak = attempt - 1;
        let plain = self.backoff.delay(streak, 0);
        // It comes on top of what was asked too: many were told the same.
        let jitter = self.backoff.delay(streak, random).saturating_sub(plain);
        let asked = report.outcome.retry_after.unwrap_or_default();
        Some(plain.max(asked).saturating_add(jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Dimension, Fault, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> RetryPolicy {
        RetryPolicy::attempts(3).backoff(Backoff::new(SECOND, 200, 60 * SECOND, SECOND))
    }

    fn failure() -> CallReport {
        CallReport { class: Some(Class::Failure), ..CallReport::new(Outcome::failed(Fault::Connect)) }
    }

    #[test]
    fn jitter_only_adds_to_the_backoff_and_to_what_was_asked() {
        let mut asking = failure();
        asking.outcome.retry_after = Some(7 * SECOND);
        for random in [0, 1, 999_999_999, 1_000_000_000, u64::MAX] {
            let within = |report: &CallReport, attempt, least: Duration| {
                let delay = policy().delay_after(attempt, report, random).expect("it may pass");
                assert!(least <= delay && delay <= least + SECOND, "{delay:?}");
            };
            within(&failure(), 1, SECOND);
            within(&failure(), 2, 2 * SECOND);
            within(&asking, 1, 7 * SECOND);
        }
        asking.outcome.retry_after = Some(Duration::MAX);
        assert_eq!(policy().delay_after(1, &asking, u64::MAX), Some(Duration::MAX));
    }

    #[test]
    fn what_a_provider_says_decides_before_the_class_does() {
        let says = |class, verdict| {
            let mut report = CallReport { class: Some(class), ..CallReport::default() };
            report.signals.verdict = verdict;
            policy().delay_after(1, &report, 0).is_some()
        };
        let (after, dimension) = (Duration::ZERO, Dimension::Any);
        assert!(says(Class::Neutral, SignalVerdict::Wait { after, dimension }), "a 429 that does not say how long");
        assert!(says(Class::Neutral, SignalVerdict::Overload { after: None }));
        assert!(!says(Class::Failure, SignalVerdict::Never { code: "insufficient_quota" }));
        assert!(!says(Class::Success, SignalVerdict::Wait { after, dimension }));
        assert!(!says(Class::Neutral, SignalVerdict::None) && says(Class::Failure, SignalVerdict::None));
    }

    #[test]
    fn attempts_are_counted_with_the_first() {
        let delays = |attempts_max| {
            let policy = RetryPolicy::attempts(attempts_max);
            (1..5).filter(|attempt| policy.delay_after(*attempt, &failure(), 0).is_some()).count()
        };
        assert_eq!([0, 1, 2, 3].map(delays), [0, 0, 1, 2]);
    }
}
