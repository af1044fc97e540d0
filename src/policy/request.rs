//! What callers ask of a ledger.

use super::amounts::Amounts;
use super::lease::{Label, Labels, LeaseId};
use super::moment::Seconds;

/// Asks for a lease over all of `amounts`, or none of them.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// New for every attempt; the same again only when the outcome of an attempt is unknown.
    pub lease_id: LeaseId,
    /// The names that come with it; the tenant also decides whose turn it is in a line.
    pub labels: Labels,
    /// What the call may use.
    pub amounts: Amounts,
}

impl Reserve {
    /// A request under a new lease id.
    #[must_use]
    pub fn new(amounts: Amounts) -> Self {
        Self { lease_id: LeaseId::generate(), labels: Labels::default(), amounts }
    }

    /// The same on behalf of `tenant`.
    #[must_use]
    pub fn for_tenant(mut self, tenant: Label) -> Self {
        self.labels.tenant = Some(tenant);
        self
    }
}

/// Ends a lease and states what was really used.
#[derive(Clone, Debug)]
pub struct Complete {
    /// Which lease.
    pub lease_id: LeaseId,
    /// What was used. A key of the lease that is not named here used what it reserved.
    pub actuals: Amounts,
}

/// Extends the concurrency holds of a lease, for a call that streams for long.
#[derive(Clone, Copy, Debug)]
pub struct Renew {
    /// Which lease.
    pub lease_id: LeaseId,
    /// How long from now; at most, and by default, each limit's own timeout.
    pub timeout: Option<Seconds>,
}
