//! Whether a child that died is started again, and when: the restart intensity of a supervisor.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use super::moment::Moment;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildExit {
    /// It was done, or was told to stop.
    Finished,
    /// It failed, panicked or was killed.
    Failed,
}

/// What the supervisor does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartVerdict {
    /// Start it again, after a while.
    Restart {
        /// How long from now.
        after: Duration,
    },
    /// Leave it: it is done.
    LeaveStopped,
    /// Too many restarts: fail yourself, and let your own supervisor decide.
    Escalate,
}

/// How often children may fail before their supervisor does.
#[derive(Clone, Copy, Debug)]
pub struct RestartIntensity {
    /// The most restarts within the window.
    pub restarts_max: usize,
    /// The window they are counted in.
    pub window: Duration,
    /// The delay before each.
    pub backoff: Backoff,
}

impl Default for RestartIntensity {
    /// 20 in 10 seconds; at once, then after 10 ms doubling up to half a second.
    fn default() -> Self {
        let backoff =
            Backoff::new(Duration::from_millis(10), 200, Duration::from_millis(500), Duration::from_millis(5));
        Self { restarts_max: 20, window: Duration::from_secs(10), backoff }
    }
}

/// The restarts of one supervisor's children. It decides, and does nothing: the supervisor performs the verdict.
#[derive(Clone, Debug)]
pub struct RestartLedger {
    intensity: RestartIntensity,
    restarts: VecDeque<Moment>,
}

impl RestartLedger {
    /// No restarts yet.
    #[must_use]
    pub fn new(intensity: RestartIntensity) -> Self {
        Self { intensity, restarts: VecDeque::new() }
    }

    /// Books a child's end. `random` is any number, and spreads the restarts.
    pub fn on_exit(&mut self, exit: ChildExit, now: Moment, random: u64) -> RestartVerdict {
        if exit == ChildExit::Finished {
            return RestartVerdict::LeaveStopped;
        }
        while self.restarts.front().is_some_and(|restart| self.intensity.window <= now.since(*restart)) {
            self.restarts.pop_front();
        }
        let recent = self.restarts.len();
        if self.intensity.restarts_max <= recent {
            return RestartVerdict::Escalate;
        }
        self.restarts.push_back(now);
        let streak = u32::try_from(recent).unwrap_or(u32::MAX);
        let after = streak.checked_sub(1).map_or(Duration::ZERO, |streak| self.intensity.backoff.delay(streak, random));
        RestartVerdict::Restart { after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn ledger(restarts_max: usize) -> RestartLedger {
        RestartLedger::new(RestartIntensity { restarts_max, ..RestartIntensity::default() })
    }

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_longer() {
        let mut ledger = ledger(4);
        let verdicts: Vec<_> = (0..5).map(|_| ledger.on_exit(ChildExit::Failed, at(0), 0)).collect();
        let restart = |ms| RestartVerdict::Restart { after: Duration::from_millis(ms) };
        assert_eq!(verdicts, [restart(0), restart(10), restart(20), restart(40), RestartVerdict::Escalate]);
    }

    #[test]
    fn restarts_leave_the_window() {
        let mut ledger = ledger(1);
        assert_eq!(ledger.on_exit(ChildExit::Failed, at(0), 0), RestartVerdict::Restart { after: Duration::ZERO });
        assert_eq!(ledger.on_exit(ChildExit::Failed, at(9_999), 0), RestartVerdict::Escalate);
        assert_eq!(ledger.on_exit(ChildExit::Failed, at(10_000), 0), RestartVerdict::Restart { after: Duration::ZERO });
    }

    #[test]
    fn a_child_that_is_done_stays_stopped_and_is_not_counted() {
        let mut ledger = ledger(1);
        for _ in 0..10 {
            assert_eq!(ledger.on_exit(ChildExit::Finished, at(0), 0), RestartVerdict::LeaveStopped);
        }
        assert!(matches!(ledger.on_exit(ChildExit::Failed, at(0), 0), RestartVerdict::Restart { .. }));
    }
}
