//! The clock of one run. A simulation of a provider measures real time.

#![expect(clippy::disallowed_types, reason = "the provider's limits are in real time")]

use std::time::{Duration, Instant, SystemTime};

/// Starts at zero when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Since the start.
    pub(crate) fn now(self) -> Duration {
        self.start.elapsed()
    }

    /// Sleeps until so long after the start.
    pub(crate) async fn sleep_until(self, time: Duration) {
        tokio::time::sleep_until((self.start + time).into()).await;
    }
}

/// The time of day after `wait`, in whole seconds and no earlier, as RFC 3339 has it.
pub(crate) fn time_of_day_after(wait: Duration) -> String {
    let since_epoch = (SystemTime::now() + wait).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_nanos().div_ceil(1_000_000_000);
    let instant = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    instant.expect("a time of this century").to_string()
}
