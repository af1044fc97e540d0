//! The limiter of a host that embeds its Tollgate.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::limiter::{Attempt, Completion, Limiter};
use crate::actors::Wait;
use crate::clock::time_left;
use crate::policy::{Grant, LeaseError, LeaseId, Refusal, Renew};
use crate::tollgate::Tollgate;

/// Decides in this process. The leases it grants belong to whoever has their ids: one that is never completed ends when
/// its last hold expires.
#[derive(Clone, Debug)]
pub struct LocalLimiter(Tollgate);

impl LocalLimiter {
    /// The limits of `tollgate`, which runs as long as this does.
    #[must_use]
    pub fn new(tollgate: Tollgate) -> Self {
        Self(tollgate)
    }

    /// The Tollgate itself.
    #[must_use]
    pub fn tollgate(&self) -> &Tollgate {
        &self.0
    }
}

impl Limiter for LocalLimiter {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move { Ok(self.0.reserve(attempt.request).await?.detach()) }.boxed()
    }

    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move {
            let left = attempt.deadline.map_or(wait.max_wait, time_left);
            let wait = Wait { max_wait: wait.max_wait.min(left), ..wait };
            Ok(self.0.acquire(attempt.request, wait).await?.detach())
        }
        .boxed()
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        async move {
            match &completion.report {
                Some(report) => self.0.finish(completion.request, report).await,
                None => self.0.complete(completion.request).await,
            }
        }
        .boxed()
    }

    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        self.0.renew(request).boxed()
    }

    fn renew_within(&self, lease_id: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        self.0.renew_within(lease_id).boxed()
    }
}
