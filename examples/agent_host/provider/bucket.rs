//! A token bucket as providers have it: full at the start, refilled continuously.

use std::time::Duration;

/// Counts in parts of a token, as many as a minute has nanoseconds, so that nothing is rounded.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_minute: u128,
    minute_nanos: u128,
    parts: u128,
    filled_at: Duration,
}

impl Bucket {
    pub(crate) fn new(per_minute: u64, minute: Duration) -> Self {
        let (per_minute, minute_nanos) = (u128::from(per_minute), minute.as_nanos());
        Self { per_minute, minute_nanos, parts: per_minute * minute_nanos, filled_at: Duration::ZERO }
    }

    pub(crate) fn limit(&self) -> u64 {
        to_u64(self.per_minute)
    }

    /// How long `amount` has to wait; zero if it is there.
    pub(crate) fn wait_for(&mut self, amount: u64, now: Duration) -> Duration {
        self.fill(now);
        self.time_of((u128::from(amount) * self.minute_nanos).saturating_sub(self.parts))
    }

    /// Takes what is there.
    pub(crate) fn take(&mut self, amount: u64, now: Duration) {
        self.fill(now);
        let left = self.parts.checked_sub(u128::from(amount) * self.minute_nanos);
        self.parts = left.expect("the caller has asked");
    }

    /// Takes back what was taken and not used.
    pub(crate) fn give_back(&mut self, amount: u64, now: Duration) {
        self.fill(now);
        self.pour(u128::from(amount) * self.minute_nanos);
    }

    pub(crate) fn remaining(&mut self, now: Duration) -> u64 {
        self.fill(now);
        to_u64(self.parts / self.minute_nanos)
    }

    /// How long until it is full.
    pub(crate) fn time_to_fill(&mut self, now: Duration) -> Duration {
        self.fill(now);
        self.time_of(self.full() - self.parts)
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        self.pour(passed.as_nanos() * self.per_minute);
    }

    fn pour(&mut self, parts: u128) {
        self.parts = (self.parts + parts).min(self.full());
    }

    fn full(&self) -> u128 {
        self.per_minute * self.minute_nanos
    }

    fn time_of(&self, parts: u128) -> Duration {
        Duration::from_nanos(to_u64(parts.div_ceil(self.per_minute)))
    }
}

fn to_u64(value: u128) -> u64 {
    u64::try_from(value).expect("a run is short")
}
