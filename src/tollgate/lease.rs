//! A granted reservation in the hands of a host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::{Granted, Permit, Runtime};
use crate::backends::Reply;
use crate::policy::{
    Amounts, CallReport, Complete, Grant, InvalidRequest, LeaseError, LeaseId, Mistake, Renew, Seconds, parse_keys,
};

/// A reservation that is to be completed. Dropping it without completing releases its concurrency and leaves everything
/// else charged: when in doubt, a call is taken to have used what it reserved. For a circuit breaker it was cancelled.
#[must_use = "dropping a lease ends it, and charges what it reserved"]
pub struct Lease {
    grant: Grant,
    permit: Option<Permit>,
    /// What was used, as far as was said.
    actuals: Amounts,
    /// None once it was ended or given away.
    runtime: Option<Arc<Runtime>>,
}

impl Lease {
    pub(super) fn new(granted: Granted, runtime: Arc<Runtime>) -> Self {
        Self { grant: granted.grant, permit: granted.permit, actuals: Amounts::default(), runtime: Some(runtime) }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.grant.lease_id
    }

    /// Wall time of the grant.
    #[must_use]
    pub fn reserved_at_unix_ms(&self) -> u64 {
        self.grant.reserved_at_unix_ms
    }

    /// Ends it with what was really used. A key that is not named used what it reserved.
    ///
    /// # Errors
    /// [`LeaseError::KeyNotHeld`] if a key was not reserved: the lease then ends as if it had been dropped.
    pub async fn complete(mut self, actuals: Amounts) -> Result<(), LeaseError> {
        self.end(actuals).await
    }

    /// The same, and tells how the call went: to its circuit breaker, and to the limits it used what the provider said
    /// of them.
    ///
    /// # Errors
    /// As [`Self::complete`]; the report was taken in all the same.
    pub async fn finish(mut self, actuals: Amounts, report: &CallReport) -> Result<(), LeaseError> {
        let Some(runtime) = self.runtime.clone() else { return Ok(()) };
        if let Some(permit) = self.permit.take() {
            runtime.record(permit, report);
        }
        runtime.restrain(self.id(), report).await;
        self.end(actuals).await
    }

    /// The same for one that was reserved over `amounts`: what the provider said reaches these limits, also those of
    /// which nothing is held any more.
    pub(crate) async fn finish_over(
        mut self,
        amounts: &Amounts,
        actuals: Amounts,
        report: &CallReport,
    ) -> Result<(), LeaseError> {
        let Some(runtime) = self.runtime.clone() else { return Ok(()) };
        if let Some(permit) = self.permit.take() {
            runtime.record(permit, report);
        }
        runtime.restrain_limits(amounts, report).await;
        self.end(actuals).await
    }

    async fn end(&mut self, actuals: Amounts) -> Result<(), LeaseError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let request = Complete { lease_id: self.id(), actuals };
        let completing = runtime.backend.complete(&request);
        // Without an answer, or without a caller who waits for it, whether it was done is unknown: the drop says the same.
        self.actuals = request.actuals;
        let completed = completing.get().await;
        match &completed {
            Ok(()) => self.runtime = None,
            Err(LeaseError::Backend(_)) => {}
            Err(LeaseError::KeyNotHeld(_) | LeaseError::Finished) => self.actuals = Amounts::default(),
        }
        completed
    }

    /// The same with keys as text.
    ///
    /// # Errors
    /// As [`Self::complete`], and [`CompleteError::Invalid`] for a key that is none.
    pub async fn complete_with<'a>(
        self,
        actuals: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<(), CompleteError> {
        let place = |mistakes: Vec<Mistake>| mistakes.into_iter().map(|mistake| mistake.under("actuals")).collect();
        let keyed = parse_keys(actuals, "actuals")?;
        let used = Amounts::used(keyed).map_err(|mistakes| InvalidRequest(place(mistakes)))?;
        Ok(self.complete(used).await?)
    }

    /// Lets its concurrency holds live for `timeout` from now (at most, and by default, each limit's own), for a call
    /// that streams for long.
    ///
    /// # Errors
    /// [`LeaseError::Finished`] if it is over, or has lost one of them.
    pub async fn renew(&self, timeout: Option<Duration>) -> Result<(), LeaseError> {
        let Some(runtime) = &self.runtime else { return Err(LeaseError::Finished) };
        // A part of a second is a whole one: never shorter than asked.
        let seconds = timeout.map(|timeout| timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() != 0)));
        let timeout = seconds.and_then(|seconds| Seconds::new(seconds.max(1)));
        runtime.backend.renew(&Renew { lease_id: self.id(), timeout }).get().await.map(drop)
    }

    /// Gives it away without ending it: whoever holds the id completes it, or it ends when its last hold expires.
    #[must_use]
    pub fn detach(mut self) -> Grant {
        if let (Some(runtime), Some(permit)) = (self.runtime.take(), self.permit.take()) {
            runtime.hold_permit(self.id(), permit);
        }
        self.grant
    }
}

/// Why a lease could not be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompleteError {
    /// The request has mistakes; the lease ends as if it had been dropped.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The ledger refused.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let request = Complete { lease_id: self.id(), actuals: std::mem::take(&mut self.actuals) };
        match runtime.backend.complete(&request) {
            Reply::Now(Ok(())) => {}
            Reply::Now(Err(error)) => tracing::warn!(lease_id = %self.id(), %error, "could not end a dropped lease"),
            Reply::Later(completion) => drop(completion), // It goes on by itself.
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.grant).finish()
    }
}
