//! How long a caller is asked to wait.

use std::time::Duration;

use super::backoff::Backoff;
use super::moment::Seconds;

/// A wait in whole milliseconds, rounded up, so that a caller who waits that long is not early; at least 1.
#[must_use]
pub fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

/// The hints of a ledger that cannot know when a concurrency hold ends.
#[must_use]
pub fn concurrency_backoff(timeout: Seconds) -> Backoff {
    let delay_max = Duration::from_millis(2_000).min(timeout.as_duration());
    Backoff::new(Duration::from_millis(50).min(delay_max), 200, delay_max, Duration::from_millis(25))
}

/// The hints of a ledger that cannot know when a rolling window frees.
#[must_use]
pub fn rolling_backoff(window: Seconds) -> Backoff {
    let delay_max = Duration::from_millis(5_000).min(window.as_duration());
    let base = Duration::from_millis(100).max(window.as_duration() / 10).min(delay_max);
    Backoff::new(base, 150, delay_max, Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_at_least_a_millisecond() {
        let waits = [0, 1, 1_000_000, 1_000_001, 59_999_999_999].map(|nanos| whole_ms(Duration::from_nanos(nanos)));
        assert_eq!(waits, [1, 1, 1, 2, 60_000]);
    }

    #[test]
    fn backoffs_grow_with_the_streak_of_denials() {
        let ms = |backoff: &Backoff| [0, 1, 2, 99].map(|streak| backoff.delay(streak, 0).as_millis());
        assert_eq!(ms(&concurrency_backoff(Seconds::new(60).expect("a timeout"))), [50, 100, 200, 2_000]);
        assert_eq!(ms(&concurrency_backoff(Seconds::new(1).expect("a timeout"))), [50, 100, 200, 1_000]);
        assert_eq!(ms(&rolling_backoff(Seconds::new(10).expect("a window"))), [1_000, 1_500, 2_250, 5_000]);
        assert_eq!(ms(&rolling_backoff(Seconds::new(1).expect("a window"))), [100, 150, 225, 1_000]);
    }
}
