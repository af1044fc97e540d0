//! The only file that reads clocks. Everything else is given moments.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where clocks are read")]

use std::time::SystemTime;

use tokio::time::Instant;

use crate::policy::Moment;

/// A monotonic clock that starts at zero when it is made. Follows tokio's paused time in tests.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::START.after(Instant::now().saturating_duration_since(self.start))
    }

    /// When `moment` is, for a timer.
    #[must_use]
    pub fn instant_of(&self, moment: Moment) -> Instant {
        let far = std::time::Duration::from_secs(30 * 365 * 86_400);
        self.start + moment.since(Moment::START).min(far)
    }
}

/// Milliseconds since 1970 by the wall clock. For people: nothing is decided by it.
#[must_use]
pub fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
