//! What happens to a lease while its call runs: its concurrency is renewed in time, and what the provider says of its
//! limits is put in force, until the deadline.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::Ordering;

use futures_util::future::{join, select};
use tokio::time::sleep_until;

use super::context::CallContext;
use crate::client::{LocalLimiter, keep_renewed};
use crate::policy::{Amounts, Moment};
use crate::tollgate::{Lease, Tollgate};

/// Looks after a lease until the deadline has passed. It belongs beside the call, and is dropped with it and `heeding`.
pub(super) async fn until_deadline(
    tollgate: &Tollgate,
    lease: &Lease,
    amounts: &Amounts,
    deadline: Moment,
    heeding: impl Future<Output = Infallible>,
) {
    let watching = join(renew(tollgate, lease, amounts), heeding);
    let deadline = sleep_until(tollgate.runtime.clock.instant_of(deadline));
    select(pin!(deadline), pin!(watching)).await; // Only the first of them ends.
}

async fn renew(tollgate: &Tollgate, lease: &Lease, amounts: &Amounts) {
    // Without limits, through a breaker alone, there is nothing to renew.
    if amounts.is_empty() {
        return;
    }
    let limiter = LocalLimiter::new(tollgate.clone());
    if keep_renewed(&limiter, &tollgate.runtime.clock, lease.id()).await.is_err() {
        tollgate.runtime.calls.leases_lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Puts in force what the provider says of its limits while the answer still streams: at its end it would be old, and
/// withhold what has been refilled since. `heeded` is the last answer of which that was done.
pub(super) async fn heed(tollgate: &Tollgate, amounts: &Amounts, call: &CallContext, heeded: &mut u64) -> Infallible {
    loop {
        // Before the look: an answer that another task reports after it is told too.
        let told = call.told();
        if let Some((answer, news)) = call.news(*heeded) {
            tollgate.runtime.restrain_limits(amounts, &news).await;
            *heeded = answer;
        } else {
            told.await;
        }
    }
}
