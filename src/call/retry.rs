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
    pub(super) fn delay_after(
        &self,
        attempt: u32,
        report: &CallReport,
        now_unix_ms: u64,
        random: u64,
    ) -> Option<Duration> {
        let asked = match report.signals.verdict {
            SignalVerdict::Never { .. } => return None,
            SignalVerdict::Wait { after, .. } => Some(after),
            SignalVerdict::Until { unix_ms, .. } => Some(Duration::from_millis(unix_ms.saturating_sub(now_unix_ms))),
            SignalVerdict::Overload { after } => after,
            SignalVerdict::None => None,
        };
        let may_pass = asked.is_some() || report.class == Some(Class::Failure);
        if !may_pass || report.class == Some(Class::Success) || self.attempts_max <= attempt {
            return None;
        }
        // The jitter comes on top of what was asked: many were told the same.
        let (streak, asked) = (attempt - 1, asked.max(report.outcome.retry_after).unwrap_or_default());
        let plain = self.backoff.delay(streak, 0);
        let jitter = self.backoff.delay(streak, random).saturating_sub(plain);
        Some(plain.max(asked).saturating_add(jitter))
    }
}
