//! What a runtime remembers of all its guarded calls: how often they may be made again, and counts.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::{BreakerName, Moment, RetryBudget};

/// What the guarded calls of a runtime have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTotals {
    /// Calls, however often each was made.
    pub calls: u64,
    /// Attempts after the first of a call.
    pub retries: u64,
    /// Retries that were not made because their budget was empty.
    pub retries_denied: u64,
    /// Leases that ended while their call still ran.
    pub leases_lost: u64,
    /// Hooks that failed after a call.
    pub hook_failures: u64,
}

/// One budget of retries for each breaker, and one for the calls without any.
#[derive(Default)]
pub(crate) struct CallBooks {
    budgets: Mutex<HashMap<Option<BreakerName>, RetryBudget>>,
    budgets_max: usize,
    calls: AtomicU64,
    retries: AtomicU64,
    retries_denied: AtomicU64,
    pub(super) leases_lost: AtomicU64,
    pub(super) hook_failures: AtomicU64,
}

impl CallBooks {
    /// Keeps at most `budgets_max` budgets of breakers; calls of others share the one of the calls without any.
    pub(crate) fn new(budgets_max: usize) -> Self {
        Self { budgets_max, ..Self::default() }
    }

    /// A call begins.
    pub(super) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has run for the first time. One that never does pays for no retries: it is no load for its upstream.
    pub(super) fn ran(&self, breaker: Option<&BreakerName>, began_at: Moment, now: Moment) {
        self.with_budget(breaker, began_at, |budget| budget.on_call(now));
    }

    /// Whether a call may be made again now; if so, it is paid for.
    pub(super) fn may_retry(&self, breaker: Option<&BreakerName>, now: Moment) -> bool {
        let is_paid = self.with_budget(breaker, now, |budget| budget.try_retry(now));
        let counter = if is_paid { &self.retries } else { &self.retries_denied };
        counter.fetch_add(1, Ordering::Relaxed);
        is_paid
    }

    pub(crate) fn totals(&self) -> CallTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallTotals {
            calls: read(&self.calls),
            retries: read(&self.retries),
            retries_denied: read(&self.retries_denied),
            leases_lost: read(&self.leases_lost),
            hook_failures: read(&self.hook_failures),
        }
    }

    /// Acts on a budget, which fills from `since` on if it is new.
    fn with_budget<T>(
        &self,
        breaker: Option<&BreakerName>,
        since: Moment,
        act: impl FnOnce(&mut RetryBudget) -> T,
    ) -> T {
        let mut budgets = self.budgets.lock().expect("only adds and subtracts");
        let breaker = breaker.cloned(); // Cheap.
        let is_full = self.budgets_max < budgets.len() && !budgets.contains_key(&breaker);
        let budget = budgets.entry(breaker.filter(|_| !is_full)).or_insert_with(|| RetryBudget::new(since));
        act(budget)
    }
}
