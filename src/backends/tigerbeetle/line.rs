//! One limit's share of a request.

use std::sync::Arc;

use super::limit::{Limit, Terms};

/// One limit's share of a request.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) limit: Arc<Limit>,
    /// `None` for a limit that nobody has used yet: all of it is free.
    pub(super) terms: Option<Terms>,
    pub(super) amount: u128,
    /// Where it stands in the request.
    pub(super) at: usize,
    /// False where only a shadow limit objects: the hold is booked beside it.
    pub(super) is_charged: bool,
}

impl Line {
    /// Where a provider has less left than the books, that much must remain.
    pub(super) fn is_guarded(&self) -> bool {
        self.terms().withheld != 0 && self.terms().enforces()
    }

    pub(super) fn terms(&self) -> &Terms {
        self.terms.as_ref().expect("what is charged is open")
    }

    /// Whether its limit says no without a look at the ledger.
    pub(super) fn is_obstructed(&self) -> bool {
        let terms = self.terms();
        let wanted = u128::from(terms.standing.wanted.get());
        terms.standing.is_decreasing() || terms.paused_until.is_some() || wanted < self.amount
    }
}
