//! How many retries may be made, so that an outage is not made worse by those who hope.
//!
//! A token bucket that calls and time fill, in the way of Finagle's `RetryBudget`: a share of the calls, and a few per
//! second for hosts that make few calls.

use std::time::Duration;

use super::moment::Moment;

/// What a call adds: this share of a retry.
const PERCENT_OF_CALLS: u64 = 20;
/// What a second adds, in retries.
const RETRIES_PER_SECOND: u64 = 10;
/// What quiet times add up to, in retries: ten seconds' worth.
const RETRIES_STORED_MAX: u64 = 100;

/// A retry costs as many units as a second has nanoseconds, so that every nanosecond adds whole units.
const RETRY: u64 = 1_000_000_000;
const CALL: u64 = RETRY / 100 * PERCENT_OF_CALLS;
const STORED_MAX: u64 = RETRIES_STORED_MAX * RETRY;

/// Allows retries for 20 % of the calls, and 10 more per second; what is not used is kept up to 100 retries. It starts
/// empty: with a store, the first calls of a host that starts into an outage could all be retried. So over any time
/// `retries ≤ calls / 5 + 10 × seconds`, and at a high rate of calls, all of which fail, the upstream sees at most 1.2
/// times as many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    stored: u64,
    filled_at: Moment,
}

impl RetryBudget {
    /// An empty budget.
    #[must_use]
    pub const fn new(now: Moment) -> Self {
        Self { stored: 0, filled_at: now }
    }

    /// A call was made; its retries are not calls.
    pub fn on_call(&mut self, now: Moment) {
        self.fill(now);
        self.add(CALL);
    }

    /// Whether a retry may be made now. If so, it is paid for.
    #[must_use = "a retry that was allowed is paid for"]
    pub fn try_retry(&mut self, now: Moment) -> bool {
        self.fill(now);
        let rest = self.stored.checked_sub(RETRY);
        self.stored = rest.unwrap_or(self.stored);
        rest.is_some()
    }

    /// Time may seem to go back by a little between threads: it adds nothing then, and nothing twice.
    fn fill(&mut self, now: Moment) {
        let passed: Duration = now.since(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        self.add(nanos.saturating_mul(RETRIES_PER_SECOND));
    }

    fn add(&mut self, units: u64) {
        self.stored = self.stored.saturating_add(units).min(STORED_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    proptest! {
        #[test]
        fn retries_are_paid_by_calls_and_time(
            steps in prop::collection::vec((0_u64..2_000_000_000, 0_u32..40, 0_u32..200), 1..60),
        ) {
            let mut budget = RetryBudget::new(at(7));
            let (mut now, mut calls, mut retries) = (7_u64, 0_u128, 0_u128);
            for (pause, calls_made, retries_wanted) in steps {
                now += pause;
                for _ in 0..calls_made {
                    budget.on_call(at(now));
                    calls += 1;
                }
                for _ in 0..retries_wanted {
                    retries += u128::from(budget.try_retry(at(now)));
                }
                // 20 % of the calls + 10 per second, without a division that rounds.
                let paid = calls * 200_000_000 + u128::from(now - 7) * 10;
                prop_assert!(retries * 1_000_000_000 <= paid);
            }
        }

        #[test]
        fn a_clock_that_goes_back_adds_nothing(moments in prop::collection::vec(0_u64..5_000_000_000, 1..50)) {
            let mut budget = RetryBudget::new(at(0));
            let retries: u64 = moments.iter().map(|nanos| u64::from(budget.try_retry(at(*nanos)))).sum();
            prop_assert!(retries <= 50);
            budget.on_call(Moment::from_nanos(u64::MAX));
            prop_assert_eq!(budget.stored, STORED_MAX);
        }
    }

    #[test]
    fn a_full_outage_is_amplified_by_a_fifth() {
        let mut budget = RetryBudget::new(at(0));
        // 100 000 calls within 0.1 s of a cold start, each of which would be retried three times.
        let mut retries = 0_u32;
        for call in 0..100_000_u64 {
            budget.on_call(at(call * 1_000));
            retries += (0..3).map(|_| u32::from(budget.try_retry(at(call * 1_000)))).sum::<u32>();
        }
        assert!((20_000..=20_001).contains(&retries), "{retries} retries");
    }

    #[test]
    fn a_host_with_few_calls_may_retry_too() {
        let mut budget = RetryBudget::new(at(0));
        budget.on_call(at(0));
        assert!(!budget.try_retry(at(79_999_999)), "a fifth from the call, four fifths from 80 ms");
        assert!(budget.try_retry(at(80_000_000)));
        assert!(!budget.try_retry(at(80_000_000)));
    }

    #[test]
    fn no_time_counts_twice() {
        let mut budget = RetryBudget::new(at(0));
        let mut retries_at = |nanos| (0..1_000).filter(|_| budget.try_retry(at(nanos))).count();
        assert_eq!([5 * RETRY, 0, 5 * RETRY, 6 * RETRY].map(&mut retries_at), [50, 0, 0, 10]);
    }

    #[test]
    fn a_long_quiet_time_is_worth_ten_seconds() {
        let mut budget = RetryBudget::new(at(0));
        let year = 31_536_000 * RETRY;
        let retries = (0..1_000).filter(|_| budget.try_retry(at(year))).count();
        assert_eq!(retries, 100);
    }
}
