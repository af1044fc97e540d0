//! Leases of calls that take longer than a limit of concurrency lets them.

use std::time::Duration;

use super::Tollgate;
use crate::backends::{BackendError, LeaseView};
use crate::policy::{LeaseError, LeaseId, Renew};

impl Tollgate {
    /// Extends the concurrency holds of a lease; says how long it now lives.
    ///
    /// # Errors
    /// [`LeaseError::Finished`] if it is over, or has lost one of them.
    pub async fn renew(&self, request: Renew) -> Result<Duration, LeaseError> {
        let ends_at = self.runtime.backend.renew(&request).get().await?;
        Ok(ends_at.since(self.runtime.clock.now()))
    }

    /// How long there is to renew a lease: until the first of its concurrency holds ends. `None` if it has none.
    ///
    /// # Errors
    /// [`LeaseError::Finished`] if it is over, or not known.
    pub async fn renew_within(&self, lease_id: LeaseId) -> Result<Option<Duration>, LeaseError> {
        let lease = self.lease(lease_id).await?.filter(|lease| lease.is_live).ok_or(LeaseError::Finished)?;
        Ok(self.renew_within_of(&lease).await?)
    }

    /// The same of a lease as it stands: what it holds, a limit that is changed meanwhile included.
    pub(crate) async fn renew_within_of(&self, lease: &LeaseView) -> Result<Option<Duration>, BackendError> {
        let mut first_end = None;
        for held in &lease.holds {
            let usage = self.usage(&held.key).await?;
            if usage.is_some_and(|usage| usage.usage.is_concurrency()) {
                first_end = first_end.into_iter().chain([held.expires_at]).min();
            }
        }
        Ok(first_end.map(|end| end.since(self.now())))
    }
}
