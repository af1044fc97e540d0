//! What a refused request is told: the reason that comes first, and every key that failed. The same for every ledger.

use std::time::Duration;

use crate::policy::{DeniedKey, Key, Moment, Reason, Refusal, Verdict};

/// A limit that enforces, and what it says of an amount that does not fit.
pub(super) struct Failing<'a> {
    pub(super) key: &'a Key,
    pub(super) verdict: Verdict,
    pub(super) capacity: u64,
    pub(super) available: u64,
}

/// The refusal by those that fail, in the order of the request, or `None` if none does. Reasons rank `never_fits`,
/// `limit_decreasing`, `limit_paused`, denied; among keys with the same reason the first names it.
pub(super) fn refusal_of<'a>(
    failing: impl Iterator<Item = Failing<'a>>,
    now: Moment,
    decreasing_retry_after: Duration,
) -> Option<Refusal> {
    let (mut never_fits, mut decreasing, mut paused, mut denied) = (None, None, None, Vec::new());
    for Failing { key, verdict, capacity, available } in failing {
        let (retry_after, wait_at_least) = match verdict {
            Verdict::Fits => continue,
            Verdict::NeverFits => {
                never_fits.get_or_insert(key);
                (Duration::ZERO, Duration::ZERO)
            }
            Verdict::Decreasing => {
                decreasing.get_or_insert(key);
                (decreasing_retry_after, Duration::ZERO)
            }
            Verdict::Paused(free) => {
                paused.get_or_insert(key);
                (free.expected.since(now), free.earliest.since(now))
            }
            Verdict::Wait(free) => (free.expected.since(now), free.earliest.since(now)),
        };
        denied.push(DeniedKey { key: key.clone(), capacity, available, retry_after, wait_at_least });
    }
    if denied.is_empty() {
        return None;
    }
    let reason = match (never_fits, decreasing, paused) {
        (Some(key), _, _) => Reason::NeverFits(key.clone()),
        (None, Some(key), _) => Reason::LimitDecreasing(key.clone()),
        (None, None, Some(key)) => Reason::LimitPaused(key.clone()),
        (None, None, None) => Reason::Denied,
    };
    Some(Refusal::of_keys(reason, denied))
}
