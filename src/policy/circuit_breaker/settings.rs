//! How a circuit breaker behaves, checked.

use std::time::Duration;

use serde::Serialize;

use super::settings_fields::BreakerFields;

/// Which calls a rate is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowSize {
    /// The last so many.
    Calls(u32),
    /// Those of the last so many seconds.
    Seconds(u32),
}

/// When a call is slow, and how many such calls are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlowCalls {
    /// A call that takes this long is slow.
    pub(super) at_least: Duration,
    /// Of the calls in the window.
    pub(super) rate_percent: u64,
}

/// The settings of one breaker. Made by [`BreakerFields::check`]; the default is what an unconfigured breaker has:
/// it opens after 5 failures in a row, for a minute that doubles up to ten, and closes after 2 successful probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "BreakerFields")]
pub struct BreakerSettings {
    pub(super) failure_threshold: Option<u32>,
    pub(super) failure_rate_percent: Option<u64>,
    pub(super) minimum_calls: u32,
    /// There if and only if there is a rate.
    pub(super) window: Option<WindowSize>,
    pub(super) slow_calls: Option<SlowCalls>,
    pub(super) timeout: Duration,
    pub(super) timeout_max: Duration,
    pub(super) jitter_percent: u32,
    pub(super) half_open_max_probes: u32,
    pub(super) probe_timeout: Duration,
    pub(super) success_threshold: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failure_threshold: Some(5),
            failure_rate_percent: None,
            minimum_calls: 10,
            window: None,
            slow_calls: None,
            timeout: Duration::from_secs(60),
            timeout_max: Duration::from_secs(600),
            jitter_percent: 10,
            half_open_max_probes: 2,
            probe_timeout: Duration::from_secs(60),
            success_threshold: 2,
        }
    }
}

impl BreakerSettings {
    /// Whether it matters how long a call takes.
    #[must_use]
    pub fn needs_latency(&self) -> bool {
        self.slow_calls.is_some()
    }

    /// How long it stays open the `openings`th time in a row (0 is the first). `random` is any number, and decides the
    /// jitter, which only ever adds.
    pub(super) fn open_time(&self, openings: u32, retry_after: Option<Duration>, random: u64) -> Duration {
        const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);
        let growth = 1_u32.checked_shl(openings.min(31)).unwrap_or(u32::MAX);
        let grown = self.timeout.saturating_mul(growth).min(self.timeout_max);
        let wait = grown.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        let jitter_nanos = u64::try_from((wait * self.jitter_percent / 100).as_nanos()).unwrap_or(u64::MAX);
        wait + Duration::from_nanos(random % jitter_nanos.saturating_add(1))
    }
}

impl From<BreakerSettings> for BreakerFields {
    fn from(settings: BreakerSettings) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).ok();
        let (window_calls, window_seconds) = match settings.window {
            None => (None, None),
            Some(WindowSize::Calls(calls)) => (Some(u64::from(calls)), None),
            Some(WindowSize::Seconds(seconds)) => (None, Some(u64::from(seconds))),
        };
        Self {
            failure_threshold: settings.failure_threshold.map(u64::from),
            failure_rate_percent: settings.failure_rate_percent,
            minimum_calls: settings.window.is_some().then_some(u64::from(settings.minimum_calls)),
            window_calls,
            window_seconds,
            slow_call_ms: settings.slow_calls.and_then(|slow| ms(slow.at_least)),
            slow_call_rate_percent: settings.slow_calls.map(|slow| slow.rate_percent),
            timeout_ms: ms(settings.timeout),
            timeout_ms_max: ms(settings.timeout_max),
            jitter_percent: Some(u64::from(settings.jitter_percent)),
            half_open_max_probes: Some(u64::from(settings.half_open_max_probes)),
            probe_timeout_ms: ms(settings.probe_timeout),
            success_threshold: Some(u64::from(settings.success_threshold)),
        }
    }
}
