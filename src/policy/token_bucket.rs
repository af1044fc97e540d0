//! A token bucket in integers. It counts in grains: one unit is as many grains as the refill period has nanoseconds,
//! so that each nanosecond brings exactly `refill_amount` grains and nothing is ever rounded away.

use std::num::NonZeroU64;
use std::time::Duration;

use super::hold_log::FreeAt;
use super::moment::{Moment, Seconds};

/// The state and the rule of one bucket.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    capacity: NonZeroU64,
    refill_amount: NonZeroU64,
    grains_per_unit: NonZeroU64,
    /// How long an empty bucket takes to fill.
    fill_time: Duration,
    grains: u128,
    /// What is owed: refill pays it before the level rises.
    owed_grains: u128,
    /// What leases that are not complete have reserved, and may give back.
    unsettled: u128,
    updated_at: Moment,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(capacity: NonZeroU64, refill_amount: NonZeroU64, refill_period: Seconds, now: Moment) -> Self {
        let grains_per_unit = grains_per_unit(refill_period);
        let grains = u128::from(capacity.get()) * u128::from(grains_per_unit.get());
        let fill_time = fill_time(grains, refill_amount);
        Self {
            capacity,
            refill_amount,
            grains_per_unit,
            fill_time,
            grains,
            owed_grains: 0,
            unsettled: 0,
            updated_at: now,
        }
    }

    /// Whether `amount` can be taken now. Cheaper than [`Self::available`], which divides.
    pub fn has(&mut self, amount: u64, now: Moment) -> bool {
        self.refill(now);
        u128::from(amount) * self.unit() <= self.grains
    }

    /// Units that can be taken now.
    pub fn available(&mut self, now: Moment) -> u64 {
        self.refill(now);
        u64::try_from(self.grains / self.unit()).expect("the level is at most the capacity")
    }

    /// Whether the bucket is full and owes nothing.
    pub fn is_full(&mut self, now: Moment) -> bool {
        self.refill(now);
        self.grains == self.full()
    }

    /// Takes `amount`, or all there is if that is less; says how much it took.
    pub fn spend(&mut self, amount: u64, now: Moment) -> u64 {
        let spent = if self.has(amount, now) { amount } else { self.available(now) };
        self.grains -= u128::from(spent) * self.unit();
        spent
    }

    /// The same for a lease. Says whether there was as much as it asked for; only then it may give some back, with
    /// [`Self::settle`].
    pub fn reserve(&mut self, amount: u64, now: Moment) -> bool {
        let is_whole = self.spend(amount, now) == amount;
        self.unsettled += if is_whole { u128::from(amount) } else { 0 };
        is_whole
    }

    /// A lease that had taken `amount` is over and gives `unused` back.
    pub fn settle(&mut self, amount: u64, unused: u64, now: Moment) {
        self.refill(now);
        self.unsettled = self.unsettled.saturating_sub(u128::from(amount));
        self.pay_in(u128::from(unused) * self.unit());
    }

    /// Takes `amount` that is not there: refill pays it back first.
    pub fn owe(&mut self, amount: u64) {
        self.owed_grains = self.owed_grains.saturating_add(u128::from(amount) * self.unit());
    }

    /// Units owed, the last one begun counted whole.
    #[must_use]
    pub fn owed(&mut self, now: Moment) -> u128 {
        self.refill(now);
        self.owed_grains.div_ceil(self.unit())
    }

    /// When `amount` can be taken. The amount must fit the capacity.
    pub fn when_available(&mut self, amount: u64, now: Moment) -> FreeAt {
        assert!(amount <= self.capacity.get(), "an amount above the capacity is never available");
        self.refill(now);
        let missing = (u128::from(amount) * self.unit()).saturating_add(self.owed_grains).saturating_sub(self.grains);
        let missing_at_least = missing.saturating_sub(self.unsettled.saturating_mul(self.unit()));
        let after = |grains: u128| {
            let nanos = grains.div_ceil(u128::from(self.refill_amount.get()));
            Moment::from_nanos(
                now.as_nanos().max(self.updated_at.as_nanos()).saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX)),
            )
        };
        FreeAt { expected: after(missing), earliest: after(missing_at_least) }
    }

    /// How long an empty bucket takes to fill.
    #[must_use]
    pub fn fill_time(&self) -> Duration {
        self.fill_time
    }

    /// Gives the bucket another rule. A raised capacity begins to fill; the level is cut to a lowered one.
    pub fn redefine(&mut self, capacity: NonZeroU64, refill_amount: NonZeroU64, refill_period: Seconds, now: Moment) {
        self.refill(now);
        let (old_unit, new_unit) = (self.unit(), u128::from(grains_per_unit(refill_period).get()));
        let rescale = |grains: u128| {
            // The whole units and their rest apart, because grains × unit does not fit 128 bits.
            (grains / old_unit).saturating_mul(new_unit).saturating_add(grains % old_unit * new_unit / old_unit)
        };
        self.grains = rescale(self.grains);
        self.owed_grains = rescale(self.owed_grains);
        self.grains_per_unit = grains_per_unit(refill_period);
        self.capacity = capacity;
        self.refill_amount = refill_amount;
        self.grains = self.grains.min(self.full());
        self.fill_time = fill_time(self.full(), refill_amount);
    }

    fn refill(&mut self, now: Moment) {
        // A clock that stands still or steps back brings nothing, and takes nothing back.
        if self.updated_at < now {
            let nanos = now.as_nanos() - self.updated_at.as_nanos();
            self.updated_at = now;
            self.pay_in(u128::from(nanos) * u128::from(self.refill_amount.get()));
        }
        assert!(self.grains <= self.full(), "a bucket never holds more than its capacity");
    }

    fn pay_in(&mut self, grains: u128) {
        let paid = grains.min(self.owed_grains);
        self.owed_grains -= paid;
        self.grains = self.grains.saturating_add(grains - paid).min(self.full());
    }

    fn unit(&self) -> u128 {
        u128::from(self.grains_per_unit.get())
    }

    fn full(&self) -> u128 {
        u128::from(self.capacity.get()) * self.unit()
    }
}

fn fill_time(grains: u128, refill_amount: NonZeroU64) -> Duration {
    Duration::from_nanos(u64::try_from(grains.div_ceil(u128::from(refill_amount.get()))).unwrap_or(u64::MAX))
}

fn grains_per_unit(refill_period: Seconds) -> NonZeroU64 {
    NonZeroU64::new(refill_period.as_nanos()).expect("a period is at least a second")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;
    const YEAR: u64 = 31_557_600 * SECOND;

    fn bucket(capacity: u64, refill_amount: u64, refill_seconds: u64) -> TokenBucket {
        let positive = |value| NonZeroU64::new(value).expect("positive");
        TokenBucket::new(
            positive(capacity),
            positive(refill_amount),
            Seconds::new(refill_seconds).expect("a period"),
            Moment::START,
        )
    }

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn the_seed_budget_lets_sixty_through_and_one_more_each_second() {
        let mut bucket = bucket(60, 60, 60);
        assert_eq!((0..61).filter(|_| bucket.spend(1, at(0)) == 1).count(), 60);
        assert_eq!(bucket.when_available(1, at(0)).expected, at(SECOND));
        assert_eq!(bucket.spend(1, at(SECOND - 1)), 0);
        assert_eq!(bucket.spend(1, at(SECOND)), 1);
    }

    #[test]
    fn not_one_unit_is_lost_or_made_in_thirty_years() {
        // 7 units every 3 seconds, drained at uneven moments: the total must be exactly what has flowed.
        let mut bucket = bucket(1_000_000_000, 7, 3);
        let mut spent = u128::from(bucket.spend(u64::MAX, at(0)));
        let (mut now, mut step) = (0_u64, 1_u64);
        while now < 30 * YEAR {
            step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now = (now + step % (3 * 86_400 * SECOND)).min(30 * YEAR);
            spent += u128::from(bucket.spend(u64::MAX, at(now)));
        }
        assert_eq!(spent, 1_000_000_000 + u128::from(30 * YEAR) * 7 / u128::from(3 * SECOND));
    }

    #[test]
    fn thirty_idle_years_fill_the_bucket_and_no_more() {
        let mut bucket = bucket(u64::MAX, u64::MAX, 1);
        assert_eq!(bucket.spend(u64::MAX, at(0)), u64::MAX);
        assert_eq!(bucket.available(at(30 * YEAR)), u64::MAX);
        assert_eq!(bucket.available(at(u64::MAX)), u64::MAX);
    }

    #[test]
    fn what_is_owed_is_paid_before_the_level_rises() {
        let mut bucket = bucket(10, 1, 1);
        bucket.spend(10, at(0));
        bucket.owe(5);
        assert_eq!((bucket.available(at(4 * SECOND)), bucket.owed(at(4 * SECOND))), (0, 1));
        assert_eq!((bucket.available(at(6 * SECOND)), bucket.owed(at(6 * SECOND))), (1, 0));
    }

    #[test]
    fn a_new_rule_keeps_the_level() {
        let mut bucket = bucket(10, 1, 1);
        bucket.spend(6, at(0));
        let positive = |value| NonZeroU64::new(value).expect("positive");
        bucket.redefine(positive(20), positive(1), Seconds::new(60).expect("a period"), at(0));
        assert_eq!((bucket.available(at(0)), bucket.available(at(60 * SECOND))), (4, 5));
        bucket.redefine(positive(2), positive(1), Seconds::new(1).expect("a period"), at(60 * SECOND));
        assert_eq!(bucket.available(at(60 * SECOND)), 2);
    }

    proptest! {
        /// Over the whole range of every number, and with a clock that stands still and steps back.
        #[test]
        fn never_more_than_the_burst_and_the_flow(
            capacity in 1_u64.., refill_amount in 1_u64.., refill_seconds in 1..=super::super::moment::SECONDS_MAX,
            steps in proptest::collection::vec((any::<u64>(), any::<u64>(), 0_u8..3), 1..40),
        ) {
            let mut bucket = bucket(capacity, refill_amount, refill_seconds);
            let (mut spent, mut latest) = (0_u128, 0_u64);
            for (moment, amount, step) in steps {
                let now = match step { 0 => latest, 1 => moment, _ => latest.saturating_add(moment % SECOND) };
                latest = latest.max(now);
                spent += u128::from(bucket.spend(amount, at(now)));
                // Rounded up: the flow is ⌊latest × amount ÷ period⌋, a unit not yet whole cannot be spent.
                let period = u128::from(refill_seconds) * u128::from(SECOND);
                let flowed = u128::from(latest).saturating_mul(u128::from(refill_amount)) / period;
                prop_assert!(spent <= u128::from(capacity).saturating_add(flowed).saturating_add(1));
            }
        }

        /// Denied until exactly the promised instant, granted at it.
        #[test]
        fn the_promised_instant_is_exact(
            capacity in 1_u64..1_000,
            refill_amount in 1_u64..1_000,
            refill_seconds in 1_u64..10_000,
            start in 0_u64..YEAR,
        ) {
            let mut bucket = bucket(capacity, refill_amount, refill_seconds);
            bucket.spend(capacity, at(start));
            for amount in [1, capacity.div_ceil(2), capacity] {
                let promised = bucket.when_available(amount, at(start)).expected;
                prop_assert!(bucket.clone().available(at(promised.as_nanos() - 1)) < amount);
                prop_assert!(amount <= bucket.clone().available(promised));
            }
        }
    }
}
