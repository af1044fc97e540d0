//! How a bucket refills in a ledger that only moves amounts: by ticks, counted from 1970 in the cluster's time. The
//! transfer of a tick has its number in its id, so that any server may send it and one takes effect.
//!
//! A tick that comes late, once the bucket is full and somebody has spent, would give a second burst. So every tick is
//! sent that another server may still send late, whether it is needed or not.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::policy::{Kind, Seconds};

/// As many ticks fill a bucket.
const TICKS_TO_FILL: u128 = 8;

/// As many more are sent after a pause: what another server has on its way is no older.
const TICKS_LATE: u64 = 8;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A lease on a bucket lives so many minutes at least, so that a call of ordinary length can still give back what it
/// did not use, and at most so many: the bucket itself puts no end to a reservation.
const LEASE_MINUTES: RangeInclusive<u128> = 10..=1_440;
const NANOS_PER_MINUTE: u128 = 60 * NANOS_PER_SECOND;

/// The refill of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    tick_ns: u64,
    refill_amount: u64,
    refill_period_ns: u64,
    /// Counts from here on.
    since_ns: u64,
}

/// A tick with its time, for the id of what it brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    pub(super) number: u64,
    pub(super) unix_ms: u64,
}

impl Ticks {
    /// Of a bucket with this capacity and rule since then; `None` for other kinds.
    pub(super) fn new(kind: Kind, capacity: u64, since_ns: u64) -> Option<Self> {
        let Kind::TokenBucket { refill_amount, refill_period } = kind else { return None };
        let tick_ns = (time_to_fill_ns(capacity, refill_amount.get(), refill_period) / TICKS_TO_FILL).max(1_000_000);
        // The longest periods fill in more than 584 years; a tick of a year is short enough for them.
        let tick_ns = u64::try_from(tick_ns).unwrap_or(u64::MAX).min(365 * 86_400 * NANOS_PER_SECOND as u64);
        let (refill_amount, refill_period_ns) = (refill_amount.get(), refill_period.as_nanos());
        Some(Self { tick_ns, refill_amount, refill_period_ns, since_ns })
    }

    /// The last tick at or before this time.
    pub(super) fn at(&self, cluster_ns: u64) -> u64 {
        cluster_ns / self.tick_ns
    }

    /// The tick with this number.
    pub(super) fn tick(&self, number: u64) -> Tick {
        Tick { number, unix_ms: number.saturating_mul(self.tick_ns) / 1_000_000 }
    }

    /// The ticks to send by then, when `sent` was the last, with what each brings. Those before the ones that fill the
    /// bucket bring nothing: they are sent so that nobody else's come late.
    pub(super) fn due(&self, sent: u64, cluster_ns: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (last, ticks) = (self.at(cluster_ns), *self);
        let first = (last + 1).saturating_sub(TICKS_TO_FILL as u64 + TICKS_LATE);
        // One more than fills it, for what rounding took.
        let first_of_use = last.saturating_sub(TICKS_TO_FILL as u64);
        let first = first.max(sent.saturating_add(1)).max(self.at(self.since_ns) + 1);
        let with_amount = move |tick| {
            let amount = ticks.amount(tick);
            (amount != 0).then_some((tick, if tick < first_of_use { 0 } else { amount }))
        };
        (first..=last).filter_map(with_amount)
    }

    /// What one tick brings. Over all ticks nothing is lost to rounding.
    pub(super) fn amount(&self, tick: u64) -> u64 {
        let by = |tick: u64| {
            let time_ns = u128::from(tick) * u128::from(self.tick_ns);
            let (whole, rest) =
                (time_ns / u128::from(self.refill_period_ns), time_ns % u128::from(self.refill_period_ns));
            // The refill of more periods than fit has flowed before any ledger was made.
            whole
                .wrapping_mul(self.refill_amount.into())
                .wrapping_add(rest * u128::from(self.refill_amount) / u128::from(self.refill_period_ns))
        };
        u64::try_from(by(tick).wrapping_sub(by(tick.saturating_sub(1)))).unwrap_or(u64::MAX)
    }

    /// How long until `missing` has come, after this time.
    pub(super) fn wait_for(&self, missing: u64, cluster_ns: u64) -> Duration {
        let (mut tick, mut came) = (self.at(cluster_ns), 0_u64);
        for _ in 0..=2 * TICKS_TO_FILL {
            if missing <= came {
                break;
            }
            tick += 1;
            came = came.saturating_add(self.amount(tick));
        }
        Duration::from_nanos(tick.saturating_mul(self.tick_ns).saturating_sub(cluster_ns))
    }
}

/// How long the lease of a bucket lives, in seconds: as many whole minutes as the bucket takes to fill, within bounds.
pub(super) fn lease_seconds(capacity: u64, refill_amount: u64, refill_period: Seconds) -> u32 {
    let minutes = time_to_fill_ns(capacity, refill_amount, refill_period).div_ceil(NANOS_PER_MINUTE);
    let minutes = minutes.clamp(*LEASE_MINUTES.start(), *LEASE_MINUTES.end());
    u32::try_from(60 * minutes).expect("at most a day")
}

fn time_to_fill_ns(capacity: u64, refill_amount: u64, refill_period: Seconds) -> u128 {
    // 2^64 × 2^62 is below 2^128.
    (u128::from(capacity) * u128::from(refill_period.as_nanos())).div_ceil(refill_amount.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU64;

    fn ticks(capacity: u64, amount: u64, seconds: u64) -> Ticks {
        let (refill_amount, refill_period) =
            (NonZeroU64::new(amount).expect("some"), Seconds::new(seconds).expect("ok"));
        Ticks::new(Kind::TokenBucket { refill_amount, refill_period }, capacity, 0).expect("a bucket")
    }

    #[test]
    fn eight_ticks_fill_a_bucket_and_late_ones_are_sent_too() {
        let ticks = ticks(80, 10, 1);
        assert_eq!(ticks.tick_ns, 1_000_000_000);
        let now = 1_795_000_000 * 1_000_000_000 + 5;
        let late = (1_794_999_985..1_794_999_992).map(|tick| (tick, 0));
        let filling = (1_794_999_992..=1_795_000_000).map(|tick| (tick, 10));
        let due = |sent| ticks.due(sent, now).collect::<Vec<_>>();
        assert_eq!(due(0), late.chain(filling).collect::<Vec<_>>(), "after a long pause");
        assert_eq!(due(1_794_999_999), [(1_795_000_000, 10)]);
        assert_eq!(ticks.tick(1_795_000_000).unix_ms, 1_795_000_000_000);
        assert!(due(1_795_000_000).is_empty() && due(u64::MAX).is_empty());
        assert_eq!((1..=8).map(|tick| ticks.amount(tick)).collect::<Vec<_>>(), [10; 8]);
        assert_eq!(ticks.wait_for(11, now).as_millis(), 1_999);
        assert_eq!(lease_seconds(80, 10, Seconds::new(1).expect("ok")), 600);
        assert_eq!(lease_seconds(601, 1, Seconds::new(1).expect("ok")), 660, "in whole minutes");
        assert_eq!(lease_seconds(u64::MAX, 1, Seconds::new(1).expect("ok")), 86_400);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_to_rounding(
            capacity in 1..=u64::MAX, amount in 1..=u64::MAX, seconds in 1..1_000_000_000_u64, at in 0_u64..1 << 62,
        ) {
            let ticks = ticks(capacity, amount, seconds);
            let tick = ticks.at(at);
            let all = |tick: u64| {
                let period = u128::from(ticks.refill_period_ns);
                let time = u128::from(tick) * u128::from(ticks.tick_ns);
                (time / period).checked_mul(amount.into())?.checked_add(time % period * u128::from(amount) / period)
            };
            if let (Some(now), Some(later)) = (all(tick), all(tick + 9)) {
                let sum: u128 = (tick + 1..=tick + 9).map(|tick| u128::from(ticks.amount(tick))).sum();
                prop_assert!(sum == later - now || (1..=9).any(|by| ticks.amount(tick + by) == u64::MAX));
            }
        }
    }
}
