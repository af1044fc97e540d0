//! A grant on its way to the caller who waited for it.

use std::fmt;
use std::sync::Arc;

use crate::backends::{Backend, Reply};
use crate::policy::{Complete, Grant, Reserve};

/// Gives the reservation back unless somebody claims it: a caller may leave at the very moment it is granted.
pub(crate) struct UnclaimedGrant {
    grant: Grant,
    request: Arc<Reserve>,
    backend: Option<Arc<dyn Backend>>,
}

impl UnclaimedGrant {
    pub(super) fn new(grant: Grant, request: Arc<Reserve>, backend: Arc<dyn Backend>) -> Self {
        Self { grant, request, backend: Some(backend) }
    }

    /// Takes it: from now on the caller owes the completion.
    pub(crate) fn claim(mut self) -> Grant {
        self.backend = None;
        self.grant
    }
}

impl Drop for UnclaimedGrant {
    fn drop(&mut self) {
        let Some(backend) = self.backend.take() else { return };
        let lease_id = self.grant.lease_id;
        let never_ran = Complete { lease_id, actuals: self.request.amounts.zeroed() };
        match backend.give_back(&never_ran) {
            Reply::Now(Ok(())) => {}
            Reply::Now(Err(error)) => tracing::warn!(%lease_id, %error, "could not give back a grant that nobody took"),
            Reply::Later(completion) => drop(completion), // It goes on by itself.
        }
    }
}

impl fmt::Debug for UnclaimedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnclaimedGrant").field(&self.grant).finish()
    }
}
