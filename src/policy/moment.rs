//! A moment on the runtime's monotonic clock, and whole seconds as limits state them.

use std::num::NonZeroU64;
use std::time::Duration;

/// Nanoseconds since the runtime's clock was made. Policies compare moments and never read a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment the clock was made.
    pub const START: Self = Self(0);

    /// The moment `nanos` nanoseconds after the clock was made.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock was made.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later; stops at the end of time (584 years) instead of wrapping.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The longest window, timeout or refill period: 100 years. Keeps every product of the token bucket inside 128 bits.
pub const SECONDS_MAX: u64 = 3_155_760_000;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

const _: () = assert!(SECONDS_MAX < u64::MAX / NANOS_PER_SECOND);

/// A period of 1 to [`SECONDS_MAX`] whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(NonZeroU64);

impl Seconds {
    /// `None` for 0 and for more than [`SECONDS_MAX`].
    #[must_use]
    pub const fn new(seconds: u64) -> Option<Self> {
        match NonZeroU64::new(seconds) {
            Some(seconds) if seconds.get() <= SECONDS_MAX => Some(Self(seconds)),
            _ => None,
        }
    }

    /// Whole seconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Nanoseconds; cannot overflow, by [`SECONDS_MAX`].
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0.get() * NANOS_PER_SECOND
    }

    /// The same period as a [`Duration`].
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0.get())
    }
}
