//! What a ledger answers.

use std::time::Duration;

use super::circuit_breaker::BreakerName;
use super::key::Key;
use super::lease::LeaseId;
use super::retry_after;

/// A granted reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which lease.
    pub lease_id: LeaseId,
    /// Wall time of the grant, for people and logs; nothing is decided by it.
    pub reserved_at_unix_ms: u64,
}

/// Why a reservation was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request contradicts itself or an earlier one.
    InvalidRequest(String),
    /// The lease has completed or expired.
    LeaseFinished,
    /// No limit has this key.
    UnknownLimitKey(Key),
    /// The amount is above this limit's capacity.
    NeverFits(Key),
    /// The circuit breaker is open, or has all of its probes out.
    BreakerOpen(BreakerName),
    /// The capacity of this limit is being lowered.
    LimitDecreasing(Key),
    /// The provider asked to wait with this limit.
    LimitPaused(Key),
    /// There is no room now.
    Denied,
    /// A bound of the runtime is reached, or it is shutting down. Says nothing of an earlier request under the same id.
    Overloaded,
    /// Whether the reservation was made is unknown.
    BackendError(String),
}

impl Reason {
    /// The machine-readable `error` of the HTTP face; empty for a plain denial.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::InvalidRequest(_) => "invalid_request".to_owned(),
            Self::LeaseFinished => "lease_finished".to_owned(),
            Self::UnknownLimitKey(key) => format!("unknown_limit_key:{key}"),
            Self::NeverFits(key) => format!("never_fits:{key}"),
            Self::BreakerOpen(name) => format!("breaker_open:{name}"),
            Self::LimitDecreasing(key) => format!("limit_decreasing:{key}"),
            Self::LimitPaused(key) => format!("limit_paused:{key}"),
            Self::Denied => String::new(),
            Self::Overloaded => "overloaded".to_owned(),
            Self::BackendError(_) => "backend_error".to_owned(),
        }
    }

    /// Whether it is said before an open circuit breaker is: it would stand with the breaker closed too.
    #[must_use]
    pub(crate) const fn precedes_breaker(&self) -> bool {
        matches!(self, Self::InvalidRequest(_) | Self::UnknownLimitKey(_) | Self::NeverFits(_))
    }

    /// Whether capacity that frees, or the end of a pause, can turn it into a grant.
    #[must_use]
    pub const fn is_worth_waiting(&self) -> bool {
        matches!(self, Self::Denied | Self::LimitDecreasing(_) | Self::LimitPaused(_))
    }
}

/// A key that has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedKey {
    /// Which limit.
    pub key: Key,
    /// Its capacity now.
    pub capacity: u64,
    /// What of it is free now.
    pub available: u64,
    /// When the amount fits if nobody else comes and no lease completes; zero if never.
    pub retry_after: Duration,
    /// How long it takes at least, whatever completes.
    pub wait_at_least: Duration,
}

/// A refused reservation. Nothing was charged anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reservation refused: {}", self.explanation())]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// When to try again, under a new lease id; zero when that does not help.
    pub retry_after: Duration,
    /// Every key that failed.
    pub denied: Vec<DeniedKey>,
}

impl Refusal {
    /// A refusal that time does not change.
    #[must_use]
    pub fn permanent(reason: Reason) -> Self {
        Self { reason, retry_after: Duration::ZERO, denied: Vec::new() }
    }

    /// A refusal by the longest of the failing keys' waits.
    #[must_use]
    pub fn of_keys(reason: Reason, denied: Vec<DeniedKey>) -> Self {
        let retry_after = denied.iter().map(|key| key.retry_after).max().unwrap_or_default();
        Self { reason, retry_after, denied }
    }

    /// A refusal because a bound is reached.
    #[must_use]
    pub fn overloaded(retry_after: Duration) -> Self {
        Self { reason: Reason::Overloaded, retry_after, denied: Vec::new() }
    }

    /// A refusal by a circuit breaker.
    #[must_use]
    pub fn breaker_open(name: BreakerName, retry_after: Duration) -> Self {
        Self { reason: Reason::BreakerOpen(name), retry_after, denied: Vec::new() }
    }

    /// Whole milliseconds to wait: 0 for a refusal that time does not change, else at least 1.
    #[must_use]
    pub fn retry_after_ms(&self) -> u64 {
        let lasting = matches!(
            self.reason,
            Reason::InvalidRequest(_)
                | Reason::LeaseFinished
                | Reason::UnknownLimitKey(_)
                | Reason::NeverFits(_)
                | Reason::BackendError(_)
        );
        if lasting { 0 } else { retry_after::whole_ms(self.retry_after) }
    }

    fn explanation(&self) -> String {
        match &self.reason {
            Reason::InvalidRequest(problem) | Reason::BackendError(problem) => problem.clone(),
            Reason::LimitPaused(key) => {
                format!("the provider asked to wait with `{key}`, retry after {} ms", self.retry_after_ms())
            }
            Reason::Denied => {
                let keys: Vec<_> = self.denied.iter().map(|denied| format!("`{}`", denied.key)).collect();
                format!("no room in {}, retry after {} ms", keys.join(", "), self.retry_after_ms())
            }
            reason => reason.code(),
        }
    }
}

/// Why a lease could not be completed or renewed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The lease does not hold this key; nothing was changed.
    #[error("the lease does not hold `{0}`; name only keys that were reserved")]
    KeyNotHeld(Key),
    /// The lease has ended, or lost one of its concurrency holds, or never was.
    #[error("the lease has ended; reserve again under a new `lease_id`")]
    Finished,
    /// Whether it was done is unknown; the same request can be sent again.
    #[error("{0}")]
    Backend(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_why_and_when_to_come_back() {
        let key = Key::parse("rpm").expect("a good key");
        let (retry_after, wait_at_least) = (Duration::from_micros(1_500), Duration::ZERO);
        let denied = vec![DeniedKey { key: key.clone(), capacity: 5, available: 0, retry_after, wait_at_least }];
        for (reason, told) in [
            (Reason::Denied, "no room in `rpm`, retry after 2 ms"),
            (Reason::LimitPaused(key.clone()), "the provider asked to wait with `rpm`, retry after 2 ms"),
            (Reason::LimitDecreasing(key), "limit_decreasing:rpm"),
        ] {
            let refusal = Refusal::of_keys(reason, denied.clone());
            assert_eq!(refusal.to_string(), format!("reservation refused: {told}"));
        }
    }

    #[test]
    fn who_is_paused_can_wait_and_a_pause_has_its_code() {
        let reason = Reason::LimitPaused(Key::parse("llm:rpm").expect("a good key"));
        assert_eq!((reason.code().as_str(), reason.is_worth_waiting()), ("limit_paused:llm:rpm", true));
    }
}
