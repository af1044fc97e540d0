//! Reserving for hosts: with the rules of [`next_try`], until it is granted, in vain, or too late.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::giving_back::give_back;
use super::limiter::{Attempt, Completion, Limiter};
use crate::actors::Wait;
use crate::clock::time_left;
use crate::policy::{Grant, LeaseId, NextTry, Priority, Refusal, Reserve, next_try};

/// As long as a server lets anybody wait at once, unless it is told otherwise.
const LINE_MAX: Duration = Duration::from_secs(300);

/// Reserves again and again until `deadline`: under a new lease id after a denial and not before it says, under the
/// same as long as nobody has said whether that one was granted. The grant names the lease. Dropping the future gives
/// back what may have been granted. While a limit of concurrency is full, a denial says when the leases that hold it
/// expire, and not when they are completed: [`acquire_until`] is told of both.
///
/// # Errors
/// At once one that asking again does not change. Else the last one, as soon as the next try would be too late. What
/// may have been granted all the same is given back.
pub async fn reserve_until(
    limiter: &Arc<dyn Limiter>,
    request: Reserve,
    deadline: Instant,
) -> Result<Grant, Box<Refusal>> {
    ask_until(limiter, request, deadline, |attempt| limiter.reserve(attempt)).await
}

/// The same, and while there is no room it waits in line, so that it is served as soon as there is.
///
/// # Errors
/// As [`reserve_until`].
pub async fn acquire_until(
    limiter: &Arc<dyn Limiter>,
    request: Reserve,
    priority: Priority,
    deadline: Instant,
) -> Result<Grant, Box<Refusal>> {
    let ask = |attempt| limiter.acquire(attempt, Wait { max_wait: time_left(deadline).min(LINE_MAX), priority });
    ask_until(limiter, request, deadline, ask).await
}

async fn ask_until<'a>(
    limiter: &'a Arc<dyn Limiter>,
    request: Reserve,
    deadline: Instant,
    ask: impl Fn(Attempt) -> BoxFuture<'a, Result<Grant, Box<Refusal>>>,
) -> Result<Grant, Box<Refusal>> {
    let mut attempt = Attempt::from(request).by(deadline);
    let mut unknowns = 0;
    let mut doubt = Doubt { limiter, attempt: None };
    loop {
        let answer = ask(attempt.clone()).await;
        let next = answer.as_ref().err().map(|refusal| next_try(refusal, unknowns, fastrand::u64(..)));
        let after = match next {
            None => {
                doubt.attempt = None;
                return answer;
            }
            // It may not even have reached the ledger: what is in doubt stays so.
            Some(NextTry::GiveUp) => return answer,
            Some(NextTry::SameLease { after }) => {
                unknowns += 1;
                doubt.attempt = Some(attempt.clone());
                after
            }
            Some(NextTry::NewLease { after }) => {
                unknowns = 0;
                doubt.attempt = None;
                attempt.request.lease_id = LeaseId::generate();
                after
            }
        };
        if time_left(deadline) <= after {
            return answer;
        }
        sleep(after).await;
    }
}

/// Gives back, in the background, an attempt that nobody will repeat and of which nobody knows whether it was granted.
struct Doubt<'a> {
    limiter: &'a Arc<dyn Limiter>,
    attempt: Option<Attempt>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let Some((Attempt { request, .. }, tasks)) = self.attempt.take().zip(Handle::try_current().ok()) else {
            return;
        };
        let limiter = Arc::clone(self.limiter);
        let completion = Completion::never_ran(request.lease_id, &request.amounts);
        tasks.spawn(async move { give_back(&*limiter, vec![completion]).await });
    }
}

#[cfg(test)]
#[path = "reserve_until_tests.rs"]
mod tests;
