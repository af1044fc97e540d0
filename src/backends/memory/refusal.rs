//! What a refused request is told: the reason that comes first, and every key that failed.

use std::time::Duration;

use super::limit_table::LimitTable;
use crate::policy::{Amounts, DeniedKey, LimitIndex, Moment, Reason, Refusal, Verdict};

/// The refusal of `amounts`, or `None` if only shadow limits object. Reasons rank `never_fits`, `limit_decreasing`,
/// `limit_paused`, denied; among keys with the same reason the first in the request names it.
pub(super) fn of(
    table: &mut LimitTable,
    limits: &[LimitIndex],
    amounts: &Amounts,
    now: Moment,
    decreasing_retry_after: Duration,
) -> Option<Refusal> {
    let (mut never_fits, mut decreasing, mut paused, mut denied) = (None, None, None, Vec::new());
    for (index, amount) in limits.iter().zip(amounts) {
        let limit = &mut table.slot_mut(*index).limit;
        if !limit.enforces() {
            continue;
        }
        let (retry_after, wait_at_least) = match limit.verdict(amount.amount, now) {
            Verdict::Fits => continue,
            Verdict::NeverFits => {
                never_fits.get_or_insert(&amount.key);
                (Duration::ZERO, Duration::ZERO)
            }
            Verdict::Decreasing => {
                decreasing.get_or_insert(&amount.key);
                (decreasing_retry_after, Duration::ZERO)
            }
            Verdict::Paused(free) => {
                paused.get_or_insert(&amount.key);
                (free.expected.since(now), free.earliest.since(now))
            }
            Verdict::Wait(free) => (free.expected.since(now), free.earliest.since(now)),
        };
        let (capacity, available) = (limit.capacity(), limit.available(now));
        denied.push(DeniedKey { key: amount.key.clone(), capacity, available, retry_after, wait_at_least });
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
