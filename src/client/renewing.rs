//! Keeps the concurrency of a lease while its call runs, wherever the limits are.

use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use super::limiter::Limiter;
use crate::clock::Clock;
use crate::policy::{LeaseError, LeaseId, Moment, Renew};

/// Calls that are shorter need no look at their lease: no timeout is below a second.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// Between tries while nobody answers.
const TROUBLE: Duration = Duration::from_secs(1);

/// The lease has ended before its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseLost;

/// Renews a lease that was granted just now, each time half way to the end of the hold of concurrency that ends first.
/// It ends when there is nothing to renew; dropping it ends the renewals.
pub(crate) async fn keep_renewed(limiter: &dyn Limiter, clock: &Clock, lease_id: LeaseId) -> Result<(), LeaseLost> {
    let mut renewed_at = clock.now();
    sleep(FIRST_LOOK).await;
    loop {
        // What is held now: a limit may be changed meanwhile.
        let due = match limiter.renew_within(lease_id).await {
            Ok(Some(within)) => half_way(renewed_at, clock.now().after(within)),
            Ok(None) => return Ok(()),
            Err(error) => {
                told(lease_id, &error)?;
                clock.now().after(TROUBLE)
            }
        };
        sleep_until(clock.instant_of(due)).await;
        renewed_at = clock.now();
        if let Err(error) = limiter.renew(Renew { lease_id, timeout: None }).await {
            told(lease_id, &error)?;
            sleep(TROUBLE).await;
        }
    }
}

/// After a while at least: what has ended cannot be renewed more often.
fn half_way(renewed_at: Moment, end: Moment) -> Moment {
    renewed_at.after((end.since(renewed_at) / 2).max(FIRST_LOOK))
}

/// Only a lease that is known to be over is lost.
fn told(lease_id: LeaseId, error: &LeaseError) -> Result<(), LeaseLost> {
    match error {
        LeaseError::Finished | LeaseError::KeyNotHeld(_) => {
            tracing::warn!(%lease_id, "the lease of a running call has ended; the call goes on");
            Err(LeaseLost)
        }
        LeaseError::Backend(_) => {
            tracing::warn!(%lease_id, %error, "could not renew the lease of a running call");
            Ok(())
        }
    }
}
