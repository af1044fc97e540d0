//! What time it is for the cluster, learned from its answers. Pure: the local time is an argument.

use std::time::Duration;

use crate::policy::Moment;

/// How long an answer speaks for the clock. Idle sessions hear something every second.
const WINDOW: Duration = Duration::from_secs(2);

/// Follows the cluster's clock.
///
/// An answer carries the time at which the cluster took the request in, which is over when the answer arrives: the
/// difference to the local clock is a lower bound of the clocks' true difference, short by the time the answer was under
/// way. So the largest one of the last windows counts, and the estimate is late by the fastest answer's way back (a
/// tenth of a millisecond where the cluster is near). A clock that was set ahead is followed with the next answer.
///
/// A cluster's time never goes back, but it can stand still (its clock was set back). Then the estimate falls, by at
/// most the local time since the answer before: it never comes below what it was at that answer, and what it takes back
/// is what it had only extrapolated since.
#[derive(Debug, Default)]
pub(super) struct ClusterClock {
    /// What is in force, in nanoseconds that the cluster is ahead of the local clock.
    offset_ns: Option<i64>,
    last_answer: Moment,
    window_start: Moment,
    /// The largest difference of the window that runs, and of the one before.
    best_ns: i64,
    best_before_ns: i64,
}

impl ClusterClock {
    /// An answer says `cluster_ns` and arrived at `now`. Returns the offset in force from here on.
    pub(super) fn hear(&mut self, cluster_ns: u64, now: Moment) -> i64 {
        let sample_ns = i64::try_from(i128::from(cluster_ns) - i128::from(now.as_nanos())).unwrap_or(i64::MAX);
        let Some(offset_ns) = self.offset_ns else {
            (self.best_ns, self.best_before_ns, self.window_start) = (sample_ns, sample_ns, now);
            return self.settle(sample_ns, now);
        };
        if now.since(self.window_start) < WINDOW {
            self.best_ns = self.best_ns.max(sample_ns);
        } else {
            // However long ago the last window was: one late answer alone must not turn the clock back.
            (self.best_before_ns, self.best_ns, self.window_start) = (self.best_ns, sample_ns, now);
        }
        let since_last_ns = i64::try_from(now.since(self.last_answer).as_nanos()).unwrap_or(i64::MAX);
        let target_ns = self.best_ns.max(self.best_before_ns);
        self.settle(target_ns.max(offset_ns.saturating_sub(since_last_ns)), now)
    }

    fn settle(&mut self, offset_ns: i64, now: Moment) -> i64 {
        (self.offset_ns, self.last_answer) = (Some(offset_ns), self.last_answer.max(now));
        offset_ns
    }
}

/// The cluster's time at `moment`.
pub(super) fn cluster_ns_at(moment: Moment, offset_ns: i64) -> u64 {
    moment.as_nanos().saturating_add_signed(offset_ns)
}

/// When it is `cluster_ns` for the cluster.
pub(super) fn moment_of(cluster_ns: u64, offset_ns: i64) -> Moment {
    Moment::from_nanos(cluster_ns.saturating_add_signed(offset_ns.saturating_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH_NS: u64 = 1_800_000_000_000_000_000;
    const MS: u64 = 1_000_000;

    fn at_ms(ms: u64) -> Moment {
        Moment::from_nanos(ms * MS)
    }

    /// The cluster's time that `clock` estimates for `now`.
    fn estimate(clock: &ClusterClock, now: Moment) -> u64 {
        cluster_ns_at(now, clock.offset_ns.expect("it has heard an answer"))
    }

    #[test]
    fn there_and_back() {
        let offset_ns = ClusterClock::default().hear(EPOCH_NS + 5 * MS, at_ms(5));
        assert_eq!(offset_ns, i64::try_from(EPOCH_NS).unwrap());
        assert_eq!(moment_of(cluster_ns_at(at_ms(77), offset_ns), offset_ns), at_ms(77));
        assert_eq!(moment_of(0, offset_ns), Moment::START, "nothing was before the local clock's start");
    }

    #[test]
    fn the_fastest_answer_counts() {
        let mut clock = ClusterClock::default();
        for (way_back_ms, sent_ms) in [(9, 100), (1, 200), (40, 300), (7, 400)] {
            clock.hear(EPOCH_NS + sent_ms * MS, at_ms(sent_ms + way_back_ms));
        }
        assert_eq!(estimate(&clock, at_ms(500)), EPOCH_NS + 499 * MS);
    }

    #[test]
    fn a_clock_that_is_set_ahead_is_followed_at_once() {
        let mut clock = ClusterClock::default();
        clock.hear(EPOCH_NS, at_ms(0));
        clock.hear(EPOCH_NS + 3_600_000 * MS, at_ms(10));
        assert_eq!(estimate(&clock, at_ms(10)), EPOCH_NS + 3_600_000 * MS);
    }

    #[test]
    fn one_late_answer_does_not_turn_the_clock_back() {
        let mut clock = ClusterClock::default();
        clock.hear(EPOCH_NS, at_ms(0));
        // This process was stopped for a minute, and finds an answer from the beginning of it.
        clock.hear(EPOCH_NS + MS, at_ms(60_000));
        assert_eq!(estimate(&clock, at_ms(60_000)), EPOCH_NS + 60_000 * MS);
        clock.hear(EPOCH_NS + 60_001 * MS, at_ms(60_002));
        assert_eq!(estimate(&clock, at_ms(60_002)), EPOCH_NS + 60_002 * MS);
    }

    /// The operating system's clock was set back an hour: the cluster's time stands still until it is over.
    #[test]
    fn a_clock_that_stands_still_is_followed_without_going_back() {
        let mut clock = ClusterClock::default();
        let window_ms = u64::try_from(WINDOW.as_millis()).unwrap();
        clock.hear(EPOCH_NS, at_ms(0));
        let (mut before, mut standing) = (EPOCH_NS, 0);
        for answer in 1..1_000 {
            let now = at_ms(answer * 10);
            clock.hear(EPOCH_NS + answer, now);
            let estimated = estimate(&clock, now);
            assert!(before <= estimated, "at an answer the estimate is never below that of the one before");
            assert!(estimated < EPOCH_NS + 2 * window_ms * MS + 1_000, "it runs on for two windows at the most");
            standing = if estimated - before < MS { standing + 1 } else { 0 };
            before = estimated;
        }
        assert!(500 < standing, "then it stands still too");
    }

    /// Half a thousandth is more than any clock is off.
    #[test]
    fn a_clock_that_is_slower_is_followed() {
        let mut clock = ClusterClock::default();
        for second in 0..3_600_u64 {
            let true_ns = EPOCH_NS + second * (1_000 * MS - MS / 2);
            let now = Moment::from_nanos(second * 1_000 * MS + MS / 5);
            clock.hear(true_ns, now);
            let error_ns = i128::from(estimate(&clock, now)) - i128::from(true_ns + MS / 5);
            assert!((-300_000..=2_500_000).contains(&error_ns), "after {second} s it is off by {error_ns} ns");
        }
    }

    #[test]
    fn nonsense_overflows_nothing() {
        let mut clock = ClusterClock::default();
        for (cluster_ns, now) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (0, 0), (1, u64::MAX)] {
            let offset_ns = clock.hear(cluster_ns, Moment::from_nanos(now));
            cluster_ns_at(Moment::from_nanos(now), offset_ns);
            moment_of(cluster_ns, offset_ns);
        }
    }
}
