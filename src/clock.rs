//! The only file that reads clocks. Everything else is given moments.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where clocks are read")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::policy::Moment;

/// As far ahead as timers are set: tokio's clock does not reach the end of ours.
const TIMER_MAX: Duration = Duration::from_secs(30 * 365 * 86_400);

/// A monotonic clock that starts at zero when it is made, and knows what the wall clock said then. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    start_unix_ms: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), start_unix_ms: Arc::new(AtomicU64::new(wall_unix_ms())) }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::START.after(Instant::now().saturating_duration_since(self.start))
    }

    /// When `moment` is, for a timer.
    #[must_use]
    pub fn instant_of(&self, moment: Moment) -> Instant {
        self.start + moment.since(Moment::START).min(TIMER_MAX)
    }

    /// Milliseconds since 1970 at `moment`. For people: nothing is decided by it.
    #[must_use]
    pub fn unix_ms_at(&self, moment: Moment) -> u64 {
        self.start_unix_ms.load(Ordering::Relaxed) + moment.as_nanos() / 1_000_000
    }

    /// Follows a wall clock that was set, or a machine that slept. Reading it at every grant would cost as much as a
    /// key.
    pub fn follow_wall_clock(&self) {
        let start_unix_ms = wall_unix_ms().saturating_sub(self.now().as_nanos() / 1_000_000);
        self.start_unix_ms.store(start_unix_ms, Ordering::Relaxed);
    }
}

/// How long it is until `deadline`; zero when it has passed.
#[must_use]
pub fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn wall_unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
