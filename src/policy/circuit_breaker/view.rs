//! A circuit breaker, shown to people.

use std::time::Duration;

use serde::Serialize;

use super::machine::{CircuitBreaker, State};
use super::name::BreakerName;
use super::transition::{BreakerState, Cause, Override};
use super::window::OutcomeWindow;

/// A breaker, as it stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerView {
    /// Its name.
    pub name: BreakerName,
    /// What it does with calls.
    pub state: BreakerState,
    /// What a person has decided.
    #[serde(rename = "override")]
    pub manual: Option<Override>,
    /// Rises with every change.
    pub generation: u64,
    /// Why it is in this state; nothing while it never changed.
    pub cause: Option<Cause>,
    /// Failures in a row, while closed.
    pub consecutive_failures: u32,
    /// Calls in the window, while closed and if there is a window.
    pub window_calls: u64,
    /// Those that failed.
    pub window_failures: u64,
    /// Those that were slow.
    pub window_slow_calls: u64,
    /// Probes that are out, while half open.
    pub probes: u32,
    /// Probes that succeeded, while half open.
    pub probe_successes: u32,
    /// How often it opened since it was last closed.
    pub openings_in_a_row: u32,
    /// Milliseconds until it lets probes through; 0 unless it is open by itself.
    pub retry_after_ms: u64,
    /// How often it opened, ever.
    pub opened_total: u64,
    /// Calls it refused, ever.
    pub rejected_total: u64,
}

impl CircuitBreaker {
    /// As it stands, for people.
    #[must_use]
    pub fn view(&self) -> BreakerView {
        let window = self.window.as_ref().map(OutcomeWindow::total).unwrap_or_default();
        let (probes, probe_successes) = match &self.state {
            State::HalfOpen { probes, successes } => (probes.out(self.latest), *successes),
            State::Closed | State::Open { .. } => (0, 0),
        };
        let open_for = match &self.state {
            State::Open { until } => until.since(self.latest),
            State::Closed | State::HalfOpen { .. } => Duration::ZERO,
        };
        BreakerView {
            name: self.name.clone(),
            state: self.state(),
            manual: self.manual,
            generation: self.generation,
            cause: self.cause,
            consecutive_failures: self.consecutive_failures,
            window_calls: window.calls,
            window_failures: window.failures,
            window_slow_calls: window.slow_calls,
            probes: u32::try_from(probes).unwrap_or(u32::MAX),
            probe_successes,
            openings_in_a_row: self.openings_in_a_row,
            retry_after_ms: u64::try_from(open_for.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
            opened_total: self.opened_total,
            rejected_total: self.rejected_total,
        }
    }
}
