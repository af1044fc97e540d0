//! What happens to a lease while its call runs: its concurrency is renewed in time, and what the provider says of its
//! limits is put in force, until the deadline.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::select;

use super::context::CallContext;
use crate::policy::{Amounts, LeaseError, Moment};
use crate::tollgate::{Lease, Tollgate};

/// Calls that are shorter need no look at their lease: no timeout is below a second.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// Between tries while the backend does not answer.
const TROUBLE: Duration = Duration::from_secs(1);

/// Looks after a lease until the deadline has passed. It belongs beside the call, and is dropped with it and `heeding`.
pub(super) async fn until_deadline(
    tollgate: &Tollgate,
    lease: &Lease,
    amounts: &Amounts,
    deadline: Moment,
    heeding: impl Future<Output = Infallible>,
) {
    // Without limits, through a breaker alone, there is nothing to renew.
    let granted = (!amounts.is_empty()).then_some(lease);
    let renewing = pin!(renew(tollgate, granted, deadline));
    select(renewing, pin!(heeding)).await; // Only the first of them ends.
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

async fn renew(tollgate: &Tollgate, lease: Option<&Lease>, deadline: Moment) {
    let Some(lease) = lease else { return sleep_until(tollgate, deadline).await };
    let granted_at = tollgate.now();
    sleep_until(tollgate, granted_at.after(FIRST_LOOK).min(deadline)).await;
    let mut renewed_at = granted_at;
    while let Some(due) = next_renewal(tollgate, lease, renewed_at).await {
        if deadline <= due {
            break;
        }
        sleep_until(tollgate, due).await;
        renewed_at = tollgate.now();
        match lease.renew(None).await {
            Ok(()) => {}
            Err(LeaseError::Finished | LeaseError::KeyNotHeld(_)) => {
                tollgate.runtime.calls.leases_lost.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(lease_id = %lease.id(), "the lease of a running call has ended; the call goes on");
                break;
            }
            Err(error @ LeaseError::Backend(_)) => {
                tracing::warn!(lease_id = %lease.id(), %error, "could not renew the lease of a running call");
                sleep_until(tollgate, renewed_at.after(TROUBLE).min(deadline)).await;
            }
        }
    }
    sleep_until(tollgate, deadline).await;
}

/// Half way to the end of the hold of concurrency that ends first; `None` if the lease holds none.
async fn next_renewal(tollgate: &Tollgate, lease: &Lease, renewed_at: Moment) -> Option<Moment> {
    // What is held now: a limit may be changed meanwhile.
    let view = match tollgate.lease(lease.id()).await {
        Ok(Some(view)) if view.is_live => view,
        Ok(_) => return Some(renewed_at), // At once, and in vain.
        Err(_) => return Some(tollgate.now().after(TROUBLE)),
    };
    let mut first_end = None;
    for held in view.holds {
        let Ok(usage) = tollgate.usage(&held.key).await else { return Some(tollgate.now().after(TROUBLE)) };
        if usage.is_some_and(|usage| usage.usage.is_concurrency()) {
            first_end = first_end.into_iter().chain([held.expires_at]).min();
        }
    }
    // At least a while: what has ended cannot be renewed more often.
    first_end.map(|end| renewed_at.after((end.since(renewed_at) / 2).max(FIRST_LOOK)))
}

async fn sleep_until(tollgate: &Tollgate, moment: Moment) {
    tokio::time::sleep_until(tollgate.runtime.clock.instant_of(moment)).await;
}
