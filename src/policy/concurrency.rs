//! How much runs at once: an amount is held until its lease completes, or until the timeout if it never does.

use super::hold_log::{HoldId, HoldLog};
use super::moment::{Moment, Seconds};

/// The rule and the holds of one concurrency limit.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// How long a hold lives without being renewed; a change concerns later holds only.
    pub(super) timeout: Seconds,
    pub(super) log: HoldLog,
}

impl Concurrency {
    /// Nothing held.
    #[must_use]
    pub fn new(timeout: Seconds) -> Self {
        Self { timeout, log: HoldLog::default() }
    }

    /// Holds `amount`.
    pub fn hold(&mut self, amount: u64, now: Moment) -> HoldId {
        self.log.insert(now.after(self.timeout.as_duration()), amount, false)
    }

    /// Releases a hold; says how much that freed: 0 if it had expired.
    pub fn release(&mut self, hold: HoldId) -> u64 {
        self.log.reduce(hold, u64::MAX)
    }

    /// Lets a hold live until `timeout` from now, and no shorter than it would have; `None` if it has expired.
    /// A timeout above the limit's own is cut to it.
    pub fn renew(&mut self, hold: HoldId, timeout: Option<Seconds>, now: Moment) -> Option<HoldId> {
        self.log.expire(now);
        let amount = self.log.amount(hold)?;
        let timeout = timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout));
        let expires_at = now.after(timeout.as_duration());
        if expires_at <= hold.expires_at() {
            return Some(hold);
        }
        self.log.reduce(hold, amount);
        Some(self.log.insert(expires_at, amount, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn seconds(seconds: u64) -> Seconds {
        Seconds::new(seconds).expect("a period")
    }

    #[test]
    fn a_hold_ends_by_release_or_by_timeout_and_once_only() {
        let mut concurrency = Concurrency::new(seconds(10));
        let (released, expired) = (concurrency.hold(2, at(0)), concurrency.hold(3, at(0)));
        assert_eq!((concurrency.release(released), concurrency.release(released)), (2, 0));
        concurrency.log.expire(at(10));
        assert_eq!((concurrency.log.held(), concurrency.release(expired)), (0, 0));
    }

    #[test]
    fn renewing_extends_never_shortens_and_cannot_revive() {
        let mut concurrency = Concurrency::new(seconds(10));
        let hold = concurrency.hold(1, at(0));
        assert_eq!(concurrency.renew(hold, Some(seconds(1)), at(5)), Some(hold));
        let renewed = concurrency.renew(hold, Some(seconds(99)), at(5)).expect("it lives");
        assert_eq!(renewed.expires_at(), at(15));
        assert_eq!((concurrency.log.held(), concurrency.renew(renewed, None, at(15))), (1, None));
    }
}
