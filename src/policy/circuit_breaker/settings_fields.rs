//! The settings of a circuit breaker as a person writes them, and what is checked of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::{BreakerSettings, SlowCalls, WindowSize};
use crate::policy::mistake::Mistake;

const COUNTS: RangeInclusive<u64> = 1..=10_000;
const PROBES: RangeInclusive<u64> = 1..=1_000;
const PERCENT: RangeInclusive<u64> = 1..=100;
const WINDOW_SECONDS: RangeInclusive<u64> = 1..=3_600;
/// Up to a day.
const MILLISECONDS: RangeInclusive<u64> = 1..=86_400_000;

/// The settings as they are written in JSON and TOML, unchecked. What is not named is inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerFields {
    /// Failures in a row that open it. Default 5; without effect, unless named, where a failure rate is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u64>,
    /// Failures in the window, of the calls in it, that open it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate_percent: Option<u64>,
    /// Calls in the window before a rate counts. Default 10, or what a smaller `window_calls` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_calls: Option<u64>,
    /// Rates are taken over the last so many calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_calls: Option<u64>,
    /// Or over the calls of the last so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// A call that takes this long is slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_call_ms: Option<u64>,
    /// Slow calls in the window, of the calls in it, that open it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_call_rate_percent: Option<u64>,
    /// How long it stays open at first. Default 60 000. Doubles each time it opens again without having closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What that grows to. Default 600 000, or a longer `timeout_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms_max: Option<u64>,
    /// How much is added at random to the time it stays open, at most. Default 10; 0 adds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<u64>,
    /// Probes at once while half open. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_open_max_probes: Option<u64>,
    /// When a probe that has not reported loses its slot; what it reports later counts all the same. Default 60 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_timeout_ms: Option<u64>,
    /// Successful probes that close it. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u64>,
}

impl BreakerFields {
    /// Makes settings of the fields; what they do not name is that of `defaults`.
    ///
    /// # Errors
    /// Every mistake in them, not just the first.
    pub fn check(&self, defaults: &BreakerSettings) -> Result<BreakerSettings, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let settings = self.check_values(defaults, &mut mistakes);
        self.check_window(defaults, &mut mistakes);
        self.check_slow_calls(defaults, &mut mistakes);
        match settings {
            Some(settings) if mistakes.is_empty() => {
                let has_rate = settings.failure_rate_percent.is_some() || settings.slow_calls.is_some();
                assert_eq!(has_rate, settings.window.is_some(), "a rate has a window");
                assert!(has_rate || settings.failure_threshold.is_some(), "something opens it");
                Ok(settings)
            }
            _ => Err(mistakes),
        }
    }

    /// Each field by itself, and what follows from those that are not named.
    fn check_values(&self, defaults: &BreakerSettings, mistakes: &mut Vec<Mistake>) -> Option<BreakerSettings> {
        let mut ranged = |field, value: Option<u64>, range: RangeInclusive<u64>| match value {
            Some(value) if !range.contains(&value) => {
                let hint = format!("use {} to {}", range.start(), range.end());
                mistakes.push(Mistake::new(field, format!("is {value}"), hint));
                None
            }
            value => value,
        };
        let small = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
        let ms = |value: Option<u64>| value.map(Duration::from_millis);
        let failure_threshold = small(ranged("failure_threshold", self.failure_threshold, COUNTS));
        let failure_rate_percent = ranged("failure_rate_percent", self.failure_rate_percent, PERCENT);
        let minimum_calls = small(ranged("minimum_calls", self.minimum_calls, COUNTS));
        let window_calls = small(ranged("window_calls", self.window_calls, COUNTS)).map(WindowSize::Calls);
        let window_seconds = small(ranged("window_seconds", self.window_seconds, WINDOW_SECONDS));
        let slow_call_ms = ms(ranged("slow_call_ms", self.slow_call_ms, MILLISECONDS));
        let slow_rate = ranged("slow_call_rate_percent", self.slow_call_rate_percent, PERCENT);
        let timeout = ms(ranged("timeout_ms", self.timeout_ms, MILLISECONDS)).unwrap_or(defaults.timeout);
        let timeout_max = ms(ranged("timeout_ms_max", self.timeout_ms_max, MILLISECONDS));
        let jitter_percent = small(ranged("jitter_percent", self.jitter_percent, 0..=100));
        let probes = small(ranged("half_open_max_probes", self.half_open_max_probes, PROBES));
        let probe_timeout = ms(ranged("probe_timeout_ms", self.probe_timeout_ms, MILLISECONDS));
        let success_threshold = small(ranged("success_threshold", self.success_threshold, COUNTS));
        if let Some(timeout_max) = timeout_max.filter(|timeout_max| *timeout_max < timeout) {
            let (max, timeout) = (timeout_max.as_millis(), timeout.as_millis());
            let problem = format!("is {max}, less than `timeout_ms` = {timeout}");
            mistakes.push(Mistake::new("timeout_ms_max", problem, "raise it, or lower `timeout_ms`"));
        }
        let window = window_calls.or(window_seconds.map(WindowSize::Seconds)).or(defaults.window);
        let inherited_minimum = match window {
            Some(WindowSize::Calls(calls)) => defaults.minimum_calls.min(calls),
            Some(WindowSize::Seconds(_)) | None => defaults.minimum_calls,
        };
        let inherited = if self.failure_rate_percent.is_some() { None } else { defaults.failure_threshold };
        let at_least = slow_call_ms.or(defaults.slow_calls.map(|slow| slow.at_least));
        let slow_rate = slow_rate.or(defaults.slow_calls.map(|slow| slow.rate_percent));
        mistakes.is_empty().then(|| BreakerSettings {
            failure_threshold: failure_threshold.or(inherited),
            failure_rate_percent: failure_rate_percent.or(defaults.failure_rate_percent),
            minimum_calls: minimum_calls.unwrap_or(inherited_minimum),
            window,
            slow_calls: at_least.zip(slow_rate).map(|(at_least, rate_percent)| SlowCalls { at_least, rate_percent }),
            timeout,
            timeout_max: timeout_max.unwrap_or(defaults.timeout_max.max(timeout)),
            jitter_percent: jitter_percent.unwrap_or(defaults.jitter_percent),
            half_open_max_probes: probes.unwrap_or(defaults.half_open_max_probes),
            probe_timeout: probe_timeout.unwrap_or(defaults.probe_timeout),
            success_threshold: success_threshold.unwrap_or(defaults.success_threshold),
        })
    }

    /// A rate needs a window, and a window a rate.
    fn check_window(&self, defaults: &BreakerSettings, mistakes: &mut Vec<Mistake>) {
        let named_windows = [("window_calls", self.window_calls), ("window_seconds", self.window_seconds)];
        let named_rates = [
            ("failure_rate_percent", self.failure_rate_percent),
            ("slow_call_rate_percent", self.slow_call_rate_percent),
        ];
        let names = |fields: &[(&'static str, Option<u64>)]| -> Vec<&'static str> {
            fields.iter().filter(|(_, value)| value.is_some()).map(|(field, _)| *field).collect()
        };
        let (windows, rates) = (names(&named_windows), names(&named_rates));
        let window_calls = match (windows.as_slice(), defaults.window) {
            ([], Some(WindowSize::Calls(inherited))) => Some(u64::from(inherited)),
            _ => self.window_calls,
        };
        if windows.len() == 2 {
            let problem = "contradicts `window_calls`";
            mistakes.push(Mistake::new(
                "window_seconds",
                problem,
                "keep one of the two: a window is of calls or of time",
            ));
        }
        if windows.is_empty() && defaults.window.is_none() {
            for rate in &rates {
                let hint = "add `window_calls` or `window_seconds`";
                mistakes.push(Mistake::new(*rate, "has no window that it is taken over", hint));
            }
        }
        if rates.is_empty() && defaults.window.is_none() {
            let lacking = windows.into_iter().chain(self.minimum_calls.map(|_| "minimum_calls"));
            for field in lacking {
                let hint = "add `failure_rate_percent` or `slow_call_rate_percent`, or remove it";
                mistakes.push(Mistake::new(field, "is for a rate, and there is none", hint));
            }
        }
        if let (Some(minimum), Some(calls)) = (self.minimum_calls, window_calls)
            && calls < minimum
        {
            let problem = format!("is {minimum}, more than `window_calls` = {calls} ever holds");
            mistakes.push(Mistake::new("minimum_calls", problem, "lower it, or raise `window_calls`"));
        }
    }

    /// The two fields about slow calls come together.
    fn check_slow_calls(&self, defaults: &BreakerSettings, mistakes: &mut Vec<Mistake>) {
        if defaults.slow_calls.is_some() {
            return;
        }
        match (self.slow_call_ms, self.slow_call_rate_percent) {
            (Some(_), None) => {
                let hint = "add `slow_call_rate_percent`, or remove it";
                mistakes.push(Mistake::new("slow_call_ms", "says what is slow, and not how much of it opens", hint));
            }
            (None, Some(_)) => {
                let hint = "add `slow_call_ms`, or remove it";
                mistakes.push(Mistake::new("slow_call_rate_percent", "does not say what is slow", hint));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_of_calls_fits_the_window_that_is_inherited() {
        let rate = BreakerFields { failure_rate_percent: Some(50), window_calls: Some(20), ..BreakerFields::default() };
        let defaults = rate.check(&BreakerSettings::default()).expect("good settings");
        let minimum = |calls| BreakerFields { minimum_calls: Some(calls), ..BreakerFields::default() };
        assert!(minimum(20).check(&defaults).is_ok());
        let mistakes = minimum(21).check(&defaults).expect_err("no rate would ever count");
        let told = "`minimum_calls` is 21, more than `window_calls` = 20 ever holds; lower it, or raise `window_calls`";
        assert_eq!(mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>(), [told]);
        let by_time = BreakerFields { window_seconds: Some(60), ..minimum(21) };
        assert!(by_time.check(&defaults).is_ok(), "a window of time holds any number");
    }
}
