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
