//! The limiter that limits nothing: for hosts whose limits are switched off.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::limiter::{Attempt, Completion, Limiter};
use crate::actors::Wait;
use crate::clock::Clock;
use crate::policy::{Grant, LeaseError, LeaseId, Refusal, Renew, SECONDS_MAX};

/// Grants everything, at once, and keeps no books.
#[derive(Clone, Debug)]
pub struct NoopLimiter {
    clock: Clock,
}

impl NoopLimiter {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Clock::start() }
    }
}

impl Default for NoopLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter for NoopLimiter {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        let reserved_at_unix_ms = self.clock.unix_ms_at(self.clock.now());
        ready(Ok(Grant { lease_id: attempt.request.lease_id, reserved_at_unix_ms })).boxed()
    }

    fn acquire(&self, attempt: Attempt, _: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.reserve(attempt)
    }

    fn complete(&self, _: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        ready(Ok(())).boxed()
    }

    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        let lives = request.timeout.map_or(Duration::from_secs(SECONDS_MAX), |timeout| timeout.as_duration());
        ready(Ok(lives)).boxed()
    }

    fn renew_within(&self, _: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        ready(Ok(None)).boxed()
    }
}
