//! What is counted while a load runs. Callers share a few lanes, so that they seldom meet at a lock and the memory of
//! histograms does not grow with their number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::history::Admitted;
use crate::policy::{Grant, LeaseError, Reason, Refusal};

/// The longest time that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(300);
const SIGNIFICANT_DIGITS: u8 = 3;
/// As much of what a server says of an error is kept.
const EXAMPLE_CHARS_MAX: usize = 300;

/// How a reservation was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Allowed,
    Denied,
    /// By this name.
    Failed(&'static str),
    /// Nobody knows whether it was granted.
    Unknown,
}

impl Answered {
    pub(super) fn of(answer: &Result<Grant, Box<Refusal>>) -> Self {
        let Err(refusal) = answer else { return Self::Allowed };
        match &refusal.reason {
            Reason::Denied | Reason::LimitDecreasing(_) | Reason::LimitPaused(_) | Reason::BreakerOpen(_) => {
                Self::Denied
            }
            Reason::BackendError(_) => Self::Unknown,
            Reason::InvalidRequest(_) => Self::Failed("invalid_request"),
            Reason::LeaseFinished => Self::Failed("lease_finished"),
            Reason::UnknownLimitKey(_) => Self::Failed("unknown_limit_key"),
            Reason::NeverFits(_) => Self::Failed("never_fits"),
            Reason::Overloaded => Self::Failed("overloaded"),
        }
    }
}

/// What some of the callers have seen.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) reserve: Histogram<u64>,
    pub(super) complete: Histogram<u64>,
    pub(super) errors: Errors,
    pub(super) admitted: Vec<Admitted>,
}

/// What went wrong, by name: there are few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// What was said of the first.
    pub(super) example: Option<String>,
}

/// What all callers have seen so far, to be shown while they run.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) allowed: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) errors: AtomicU64,
    /// Completions that were answered well.
    pub(super) completed: AtomicU64,
    /// Grants that there was no room to remember.
    pub(super) unrecorded: AtomicU64,
}

impl Lane {
    pub(super) fn new() -> Self {
        let histogram =
            || Histogram::new_with_max(nanos(LATENCY_MAX), SIGNIFICANT_DIGITS).expect("the bounds are good");
        Self { reserve: histogram(), complete: histogram(), errors: Errors::default(), admitted: Vec::new() }
    }

    pub(super) fn note_reserve(&mut self, took: Duration, answer: &Result<Grant, Box<Refusal>>, counts: &Counts) {
        self.reserve.saturating_record(nanos(took));
        let name = match Answered::of(answer) {
            Answered::Allowed => return increase(&counts.allowed),
            Answered::Denied => return increase(&counts.denied),
            Answered::Failed(name) => name,
            Answered::Unknown => "backend_error",
        };
        increase(&counts.errors);
        self.errors.note(name, || answer.as_ref().err().map(ToString::to_string).unwrap_or_default());
    }

    pub(super) fn note_complete(&mut self, took: Duration, answer: &Result<(), LeaseError>, counts: &Counts) {
        self.complete.saturating_record(nanos(took));
        match answer {
            Ok(()) => increase(&counts.completed),
            Err(error) => {
                increase(&counts.errors);
                self.errors.note("complete_failed", || error.to_string());
            }
        }
    }

    /// Takes over what `other` has seen, but for its grants.
    pub(super) fn add(&mut self, other: &Self) {
        self.reserve += &other.reserve;
        self.complete += &other.complete;
        for (name, count) in &other.errors.counts {
            *self.errors.counts.entry(name).or_default() += count;
        }
        self.errors.example = self.errors.example.take().or_else(|| other.errors.example.clone());
    }
}

impl Errors {
    fn note(&mut self, name: &'static str, text: impl FnOnce() -> String) {
        *self.counts.entry(name).or_default() += 1;
        self.example.get_or_insert_with(|| text().chars().take(EXAMPLE_CHARS_MAX).collect());
    }
}

pub(super) fn increase(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Key, LeaseId};

    fn refused(reason: Reason) -> Result<Grant, Box<Refusal>> {
        Err(Box::new(Refusal::permanent(reason)))
    }

    #[test]
    fn answers_are_allowed_denied_or_errors() {
        let key = || Key::parse("a").expect("a key");
        assert_eq!(Answered::of(&refused(Reason::Denied)), Answered::Denied);
        assert_eq!(Answered::of(&refused(Reason::LimitPaused(key()))), Answered::Denied);
        assert_eq!(Answered::of(&refused(Reason::NeverFits(key()))), Answered::Failed("never_fits"));
        assert_eq!(Answered::of(&refused(Reason::BackendError(String::new()))), Answered::Unknown);
    }

    #[test]
    fn lanes_add_up() {
        let counts = Counts::default();
        let grant = Grant { lease_id: LeaseId::generate(), reserved_at_unix_ms: 0 };
        let (mut one, mut other) = (Lane::new(), Lane::new());
        one.note_reserve(Duration::from_micros(10), &Ok(grant), &counts);
        one.note_reserve(Duration::from_micros(30), &refused(Reason::Denied), &counts);
        other.note_reserve(Duration::from_secs(1_000), &refused(Reason::BackendError("it broke".to_owned())), &counts);
        other.note_reserve(Duration::ZERO, &refused(Reason::Overloaded), &counts);
        other.note_complete(Duration::from_micros(20), &Err(LeaseError::Finished), &counts);
        other.note_complete(Duration::from_micros(20), &Ok(()), &counts);
        one.add(&other);
        assert_eq!((one.reserve.len(), one.complete.len()), (4, 2));
        assert!(one.reserve.max() >= nanos(LATENCY_MAX), "what takes longer is kept as the longest");
        let errors = [("backend_error", 1), ("complete_failed", 1), ("overloaded", 1)];
        assert_eq!(one.errors.counts, BTreeMap::from(errors));
        assert_eq!(one.errors.example.as_deref(), Some("reservation refused: it broke"));
        let counted = [&counts.allowed, &counts.denied, &counts.errors, &counts.completed];
        assert_eq!(counted.map(|count| count.load(Ordering::Relaxed)), [1, 1, 3, 1]);
    }
}
