//! What is counted while a load runs. Callers share a few lanes, so that they seldom meet at a lock and the memory of
//! histograms does not grow with their number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::errors::Errors;
use super::history::Admitted;
use crate::policy::{Grant, LeaseError, Moment, Reason, Refusal};

/// The longest time that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(300);
const SIGNIFICANT_DIGITS: u8 = 3;

type Reserved = Result<Grant, Box<Refusal>>;
type Completed = Result<(), LeaseError>;

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
    pub(super) fn of(answer: &Reserved) -> Self {
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
        Self { reserve: latencies(), complete: latencies(), errors: Errors::default(), admitted: Vec::new() }
    }

    /// Notes an answer that came `at` this moment.
    pub(super) fn note_reserve(&mut self, at: Moment, took: Duration, answer: &Reserved, counts: &Counts) {
        self.reserve.saturating_record(nanos(took));
        let name = match Answered::of(answer) {
            Answered::Allowed => return increase(&counts.allowed),
            Answered::Denied => return increase(&counts.denied),
            Answered::Failed(name) => name,
            Answered::Unknown => "backend_error",
        };
        increase(&counts.errors);
        let text = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
        self.errors.note(name, &text, at);
    }

    /// The same for a completion.
    pub(super) fn note_complete(&mut self, at: Moment, took: Duration, answer: &Completed, counts: &Counts) {
        self.complete.saturating_record(nanos(took));
        match answer {
            Ok(()) => increase(&counts.completed),
            Err(error) => {
                increase(&counts.errors);
                self.errors.note("complete_failed", &error.to_string(), at);
            }
        }
    }

    /// Takes over what `other` has seen, but for its grants.
    pub(super) fn add(&mut self, other: &Self) {
        self.reserve += &other.reserve;
        self.complete += &other.complete;
        self.errors.add(&other.errors);
    }
}

pub(super) fn increase(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Times in nanoseconds; none yet.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_max(nanos(LATENCY_MAX), SIGNIFICANT_DIGITS).expect("the bounds are good")
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whole ones.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Key, LeaseId};

    fn refused(reason: Reason) -> Reserved {
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
        let at = Moment::START;
        let (mut one, mut other) = (Lane::new(), Lane::new());
        one.note_reserve(at, Duration::from_micros(10), &Ok(grant), &counts);
        one.note_reserve(at, Duration::from_micros(30), &refused(Reason::Denied), &counts);
        other.note_reserve(
            at,
            Duration::from_secs(1_000),
            &refused(Reason::BackendError("it broke".to_owned())),
            &counts,
        );
        other.note_reserve(at, Duration::ZERO, &refused(Reason::Overloaded), &counts);
        other.note_complete(at, Duration::from_micros(20), &Err(LeaseError::Finished), &counts);
        other.note_complete(at, Duration::from_micros(20), &Ok(()), &counts);
        one.add(&other);
        assert_eq!((one.reserve.len(), one.complete.len()), (4, 2));
        assert!(one.reserve.max() >= nanos(LATENCY_MAX), "what takes longer is kept as the longest");
        let errors = one.errors.list(at);
        let names: Vec<_> = errors.iter().map(|kind| kind.name).collect();
        assert_eq!(names, ["backend_error", "complete_failed", "overloaded"]);
        assert_eq!(errors[0].text, "reservation refused: it broke");
        let counted = [&counts.allowed, &counts.denied, &counts.errors, &counts.completed];
        assert_eq!(counted.map(read), [1, 1, 3, 1]);
    }
}
