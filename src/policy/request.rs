//! What callers ask of a ledger.

use super::amounts::Amounts;
use super::circuit_breaker::BreakerName;
use super::key::Key;
use super::lease::{Label, Labels, LeaseId};
use super::mistake::{InvalidRequest, Mistake};
use super::moment::Seconds;

/// Asks for a lease over all of `amounts`, or none of them.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// New for every attempt; the same again only when the outcome of an attempt is unknown.
    pub lease_id: LeaseId,
    /// The names that come with it; the tenant also decides whose turn it is in a line.
    pub labels: Labels,
    /// What the call may use; nothing only where it names a circuit breaker.
    pub amounts: Amounts,
    /// The circuit breaker of the upstream that is to be called, which is asked too.
    pub breaker: Option<BreakerName>,
}

impl Reserve {
    /// A request under a new lease id.
    #[must_use]
    pub fn new(amounts: Amounts) -> Self {
        Self { lease_id: LeaseId::generate(), labels: Labels::default(), amounts, breaker: None }
    }

    /// A request for these keys and amounts.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn of<'a>(requirements: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Self, InvalidRequest> {
        let keyed = parse_keys(requirements, "requirements")?;
        let place =
            |mistakes: Vec<Mistake>| mistakes.into_iter().map(|mistake| mistake.under("requirements")).collect();
        Ok(Self::new(Amounts::to_reserve(keyed).map_err(|mistakes| InvalidRequest(place(mistakes)))?))
    }

    /// The same on behalf of `tenant`.
    #[must_use]
    pub fn for_tenant(mut self, tenant: Label) -> Self {
        self.labels.tenant = Some(tenant);
        self
    }

    /// The same, refused also while `breaker` is open.
    #[must_use]
    pub fn through(mut self, breaker: BreakerName) -> Self {
        self.breaker = Some(breaker);
        self
    }
}

/// Reads the keys of amounts that came as text; `field` is what the caller calls the list.
///
/// # Errors
/// Every key that is none.
pub fn parse_keys<'a>(
    amounts: impl IntoIterator<Item = (&'a str, u64)>,
    field: &str,
) -> Result<Vec<(Key, u64)>, InvalidRequest> {
    let mut mistakes = Vec::new();
    let mut keyed = Vec::new();
    for (at, (key, amount)) in amounts.into_iter().enumerate() {
        match Key::parse(key) {
            Ok(key) => keyed.push((key, amount)),
            Err(mistake) => mistakes.push(mistake.under(&format!("{field}[{at}].key"))),
        }
    }
    if mistakes.is_empty() { Ok(keyed) } else { Err(InvalidRequest(mistakes)) }
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
