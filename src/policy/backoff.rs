//! Growing delays with jitter that only ever adds: jitter that subtracts sends a caller back too early.

use std::time::Duration;

/// A delay that grows by a factor for every failure in a row, up to a maximum, plus jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    factor_percent: u32,
    delay_max: Duration,
    jitter_max: Duration,
}

impl Backoff {
    /// `base` for the first failure, then `factor_percent` of the delay before it.
    ///
    /// # Panics
    /// If the delay would shrink: a factor below 100 %, or a base above the maximum.
    #[must_use]
    pub fn new(base: Duration, factor_percent: u32, delay_max: Duration, jitter_max: Duration) -> Self {
        assert!(100 <= factor_percent, "a backoff does not shrink");
        assert!(base <= delay_max, "a backoff starts at or below its maximum");
        Self { base, factor_percent, delay_max, jitter_max }
    }

    /// The delay after `streak` failures before this one. `random` is any number, and decides the jitter.
    #[must_use]
    pub fn delay(&self, streak: u32, random: u64) -> Duration {
        let mut delay = self.base;
        for _ in 0..streak.min(64) {
            if self.delay_max <= delay {
                break;
            }
            // What is too long to be multiplied is longer than the maximum.
            let grown = delay.checked_mul(self.factor_percent).map_or(self.delay_max, |grown| grown / 100);
            delay = grown.min(self.delay_max);
        }
        let jitter_nanos = u64::try_from(self.jitter_max.as_nanos()).unwrap_or(u64::MAX);
        delay.saturating_add(Duration::from_nanos(random % jitter_nanos.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn jitter_only_adds_and_the_delay_is_bounded(
            base in 0_u64..10_000,
            factor in 100_u32..1_000,
            extra in 0_u64..100_000,
            jitter in 0_u64..1_000,
            streak: u32,
            random: u64,
        ) {
            let ms = Duration::from_millis;
            let backoff = Backoff::new(ms(base), factor, ms(base + extra), ms(jitter));
            let (delay, plain) = (backoff.delay(streak, random), backoff.delay(streak, 0));
            prop_assert!(ms(base) <= plain && plain <= ms(base + extra));
            prop_assert!(plain <= delay && delay <= plain + ms(jitter));
            prop_assert!(plain <= backoff.delay(streak.saturating_add(1), 0));
        }
    }

    #[test]
    fn the_longest_delays_do_not_overflow_and_do_not_shrink() {
        let (most, second) = (Duration::MAX, Duration::from_secs(1));
        for (base, factor) in [(most, 100), (most, u32::MAX), (most / 50, 200), (second, u32::MAX)] {
            let backoff = Backoff::new(base, factor, most, most);
            let delays = [0, 1, 2, 63, 64, u32::MAX].map(|streak| backoff.delay(streak, u64::MAX - 1));
            assert!(delays.is_sorted() && base <= delays[0], "{delays:?}");
        }
    }

    #[test]
    fn jitter_spreads_callers_that_failed_together() {
        let backoff = Backoff::new(Duration::from_secs(1), 200, Duration::from_secs(60), Duration::from_millis(25));
        let delays: std::collections::HashSet<_> =
            (0..100_u64).map(|n| backoff.delay(0, n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        assert!(95 < delays.len(), "{} different delays", delays.len());
    }
}
