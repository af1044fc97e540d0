//! A sliding-window log: what is reserved is free again exactly one window after it was reserved. In any window at
//! most the capacity is admitted, which counters per fixed window cannot promise.

use super::hold_log::{HoldId, HoldLog};
use super::moment::{Moment, Seconds};

/// The rule and the log of one rolling limit.
#[derive(Clone, Debug)]
pub struct RollingWindow {
    /// How long a reservation counts; a change concerns later reservations only.
    pub(super) window: Seconds,
    pub(super) log: HoldLog,
}

impl RollingWindow {
    /// An empty window.
    #[must_use]
    pub fn new(window: Seconds) -> Self {
        Self { window, log: HoldLog::default() }
    }

    /// Takes `amount` for a lease, which may still give some back.
    pub fn reserve(&mut self, amount: u64, now: Moment) -> HoldId {
        self.log.insert(now.after(self.window.as_duration()), amount, false)
    }

    /// Takes `amount` that was really used.
    pub fn spend(&mut self, amount: u64, now: Moment) {
        self.log.insert(now.after(self.window.as_duration()), amount, true);
    }

    /// A lease is over and gives `unused` back at once; the rest keeps its expiry. Says how much that freed.
    pub fn settle(&mut self, hold: HoldId, unused: u64) -> u64 {
        self.log.settle_after(hold, unused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn an_amount_is_free_exactly_one_window_later() {
        let mut window = RollingWindow::new(Seconds::new(60).expect("a window"));
        window.reserve(5, Moment::from_nanos(7));
        window.log.expire(Moment::from_nanos(60 * SECOND + 6));
        assert_eq!(window.log.held(), 5);
        window.log.expire(Moment::from_nanos(60 * SECOND + 7));
        assert_eq!(window.log.held(), 0);
    }

    proptest! {
        /// Every window that ends at an admission holds at most the capacity, however the calls fall.
        #[test]
        fn never_above_the_capacity_in_any_window(
            capacity in 1_u64..100, window_seconds in 1_u64..10,
            calls in proptest::collection::vec((0_u64..3 * SECOND, 1_u64..50), 1..200),
        ) {
            let mut window = RollingWindow::new(Seconds::new(window_seconds).expect("a window"));
            let (mut now, mut admitted) = (0, Vec::new());
            for (gap, amount) in calls {
                now += gap;
                window.log.expire(Moment::from_nanos(now));
                if window.log.held() + u128::from(amount) <= u128::from(capacity) {
                    window.reserve(amount, Moment::from_nanos(now));
                    admitted.push((now, amount));
                    let in_window = admitted.iter().filter(|(at, _)| now < at + window_seconds * SECOND);
                    prop_assert!(in_window.map(|(_, amount)| amount).sum::<u64>() <= capacity);
                }
            }
        }
    }
}
