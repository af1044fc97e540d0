//! A granted reservation in the hands of a host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backends::{Backend, Reply};
use crate::policy::{
    Amounts, Complete, Grant, InvalidRequest, LeaseError, LeaseId, Mistake, Renew, Seconds, parse_keys,
};

/// A reservation that is to be completed. Dropping it without completing releases its concurrency and leaves everything
/// else charged: when in doubt, a call is taken to have used what it reserved.
#[must_use = "dropping a lease ends it, and charges what it reserved"]
pub struct Lease {
    grant: Grant,
    backend: Option<Arc<dyn Backend>>,
}

impl Lease {
    pub(super) fn new(grant: Grant, backend: Arc<dyn Backend>) -> Self {
        Self { grant, backend: Some(backend) }
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
        let Some(backend) = &self.backend else { return Ok(()) };
        let request = Complete { lease_id: self.id(), actuals };
        let completed = backend.complete(&request).get().await;
        if completed.is_ok() {
            self.backend = None;
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
        let Some(backend) = &self.backend else { return Err(LeaseError::Finished) };
        // A part of a second is a whole one: never shorter than asked.
        let seconds = timeout.map(|timeout| timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() != 0)));
        let timeout = seconds.and_then(|seconds| Seconds::new(seconds.max(1)));
        backend.renew(&Renew { lease_id: self.id(), timeout }).get().await.map(drop)
    }

    /// Gives it away without ending it: whoever holds the id completes it, or it ends when its last hold expires.
    #[must_use]
    pub fn detach(mut self) -> Grant {
        self.backend = None;
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
        let Some(backend) = self.backend.take() else { return };
        let request = Complete { lease_id: self.id(), actuals: Amounts::default() };
        match backend.complete(&request) {
            Reply::Now(Ok(())) => {}
            Reply::Now(Err(error)) => tracing::warn!(lease_id = %self.id(), %error, "could not end a dropped lease"),
            Reply::Later(completion) => {
                tokio::spawn(completion);
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.grant).finish()
    }
}
