//! What the limits in memory say of a request that does not fit.

use std::time::Duration;

use super::limit_table::LimitTable;
use crate::backends::refusal::{Failing, refusal_of};
use crate::policy::{Amounts, LimitIndex, Moment, Refusal};

/// The refusal of `amounts`, or `None` if only shadow limits object.
pub(super) fn of(
    table: &mut LimitTable,
    limits: &[LimitIndex],
    amounts: &Amounts,
    now: Moment,
    decreasing_retry_after: Duration,
) -> Option<Refusal> {
    let failing = limits.iter().zip(amounts).filter_map(|(index, amount)| {
        let limit = &mut table.slot_mut(*index).limit;
        let verdict = limit.enforces().then(|| limit.verdict(amount.amount, now))?;
        Some(Failing { key: &amount.key, verdict, capacity: limit.capacity(), available: limit.available(now) })
    });
    refusal_of(failing, now, decreasing_retry_after)
}
