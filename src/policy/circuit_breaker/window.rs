//! The outcomes of the last calls, by number or by time.

use std::collections::VecDeque;

use super::settings::WindowSize;
use crate::policy::moment::Moment;

/// A window of time is kept in this many parts: it forgets an outcome when it is over, up to one part later.
const PARTS: u64 = 60;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What the calls of a window came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) slow_calls: u64,
}

impl Tally {
    /// Of one call.
    pub(super) fn of(is_failure: bool, is_slow: bool) -> Self {
        Self { calls: 1, failures: u64::from(is_failure), slow_calls: u64::from(is_slow) }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow_calls += other.slow_calls;
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow_calls -= other.slow_calls;
    }
}

/// The outcomes of the last calls.
#[derive(Clone, Debug)]
pub(super) struct OutcomeWindow {
    kept: Kept,
    total: Tally,
}

#[derive(Clone, Debug)]
enum Kept {
    /// Each call by itself: whether it failed, and whether it was slow.
    Calls { calls_max: usize, calls: VecDeque<(bool, bool)> },
    /// Each part of the time by its number since the clock was made. Parts without calls are left out.
    Time { part_nanos: u64, parts: VecDeque<(u64, Tally)> },
}

impl OutcomeWindow {
    pub(super) fn new(size: WindowSize) -> Self {
        let kept = match size {
            WindowSize::Calls(calls_max) => Kept::Calls { calls_max: calls_max as usize, calls: VecDeque::new() },
            WindowSize::Seconds(seconds) => {
                let part_nanos = u64::from(seconds) * NANOS_PER_SECOND / PARTS;
                Kept::Time { part_nanos, parts: VecDeque::new() }
            }
        };
        Self { kept, total: Tally::default() }
    }

    /// Counts one call. `now` is never before that of an earlier call.
    pub(super) fn count(&mut self, is_failure: bool, is_slow: bool, now: Moment) {
        self.forget(now);
        let call = Tally::of(is_failure, is_slow);
        match &mut self.kept {
            Kept::Calls { calls_max, calls } => {
                if calls.len() == *calls_max
                    && let Some((was_failure, was_slow)) = calls.pop_front()
                {
                    self.total.subtract(Tally::of(was_failure, was_slow));
                }
                calls.push_back((is_failure, is_slow));
            }
            Kept::Time { part_nanos, parts } => {
                let part = now.as_nanos() / *part_nanos;
                match parts.back_mut() {
                    Some((last, tally)) if *last == part => tally.add(call),
                    _ => parts.push_back((part, call)),
                }
            }
        }
        self.total.add(call);
    }

    /// Drops what is too old.
    pub(super) fn forget(&mut self, now: Moment) {
        let Kept::Time { part_nanos, parts } = &mut self.kept else { return };
        let part = now.as_nanos() / *part_nanos;
        while let Some((oldest, tally)) = parts.front()
            && *oldest + PARTS < part
        {
            self.total.subtract(*tally);
            parts.pop_front();
        }
    }

    /// What the calls in it came to, as of the last time it was told.
    pub(super) fn total(&self) -> Tally {
        self.total
    }

    pub(super) fn clear(&mut self) {
        match &mut self.kept {
            Kept::Calls { calls, .. } => calls.clear(),
            Kept::Time { parts, .. } => parts.clear(),
        }
        self.total = Tally::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    fn total(window: &OutcomeWindow) -> (u64, u64, u64) {
        let Tally { calls, failures, slow_calls } = window.total();
        (calls, failures, slow_calls)
    }

    #[test]
    fn a_window_of_calls_keeps_the_last_ones() {
        let mut window = OutcomeWindow::new(WindowSize::Calls(3));
        for (is_failure, is_slow) in [(true, true), (false, true), (false, false)] {
            window.count(is_failure, is_slow, at(0));
        }
        assert_eq!(total(&window), (3, 1, 2));
        window.count(false, false, at(0));
        assert_eq!(total(&window), (3, 0, 1));
        window.count(true, false, at(0));
        assert_eq!(total(&window), (3, 1, 0));
        window.clear();
        assert_eq!(total(&window), (0, 0, 0));
    }

    #[test]
    fn a_window_of_time_keeps_a_call_for_its_length_and_forgets_it_a_part_later() {
        let mut window = OutcomeWindow::new(WindowSize::Seconds(60));
        window.count(true, false, at(500));
        window.count(false, true, at(30_000));
        for (ms, wanted) in [(60_500, (2, 1, 1)), (61_000, (1, 0, 1)), (90_000, (1, 0, 1)), (91_000, (0, 0, 0))] {
            window.forget(at(ms));
            assert_eq!(total(&window), wanted, "{ms} ms");
        }
    }

    #[test]
    fn a_window_of_time_takes_no_more_room_than_its_parts() {
        let mut window = OutcomeWindow::new(WindowSize::Seconds(1));
        for ms in 0..10_000 {
            window.count(ms % 2 == 0, false, at(ms));
        }
        let Kept::Time { parts, .. } = &window.kept else { panic!("it is one of time") };
        assert!(parts.len() <= PARTS as usize + 1, "{}", parts.len());
        let (calls, failures, _) = total(&window);
        assert!((1_000..=1_017).contains(&calls) && failures == calls / 2, "{calls}, {failures}");
    }
}
