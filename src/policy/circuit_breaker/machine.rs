//! The state machine of a circuit breaker.
//!
//! Each change of state begins a new generation. An admission belongs to the generation it was made in, and its outcome
//! is counted in no other: what was sent before a breaker opened says nothing about the upstream after it.

use std::time::Duration;

use super::admission::Admission;
use super::name::BreakerName;
use super::probes::{ProbeId, ProbeSlots};
use super::settings::BreakerSettings;
use super::transition::{BreakerOpen, BreakerState, Cause, Override, Transition};
use super::window::OutcomeWindow;
use crate::policy::moment::Moment;
use crate::policy::outcome::{Class, Outcome};

/// What a caller is told to wait, at most, while all probes are out: most report long before their time is over.
const PROBES_OUT_WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum State {
    Closed,
    Open { until: Moment },
    HalfOpen { probes: ProbeSlots, successes: u32 },
}

/// One circuit breaker. It is told the time, and never goes back: an earlier moment counts as the latest one it knows.
#[derive(Debug)]
pub struct CircuitBreaker {
    pub(super) name: BreakerName,
    settings: BreakerSettings,
    /// Closed while there is an override.
    pub(super) state: State,
    pub(super) manual: Option<Override>,
    pub(super) generation: u64,
    pub(super) cause: Option<Cause>,
    pub(super) consecutive_failures: u32,
    pub(super) window: Option<OutcomeWindow>,
    pub(super) openings_in_a_row: u32,
    next_probe: ProbeId,
    pub(super) latest: Moment,
    pub(super) opened_total: u64,
    pub(super) rejected_total: u64,
}

impl CircuitBreaker {
    /// A closed one, in generation 1.
    #[must_use]
    pub fn new(name: BreakerName, settings: BreakerSettings) -> Self {
        let window = settings.window.map(OutcomeWindow::new);
        Self {
            name,
            settings,
            state: State::Closed,
            manual: None,
            generation: 1,
            cause: None,
            consecutive_failures: 0,
            window,
            openings_in_a_row: 0,
            next_probe: 0,
            latest: Moment::START,
            opened_total: 0,
            rejected_total: 0,
        }
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// What it does with calls now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match (self.manual, &self.state) {
            (Some(Override::ForcedOpen), _) | (None, State::Open { .. }) => BreakerState::Open,
            (Some(Override::ForcedClosed | Override::Disabled), _) | (None, State::Closed) => BreakerState::Closed,
            (None, State::HalfOpen { .. }) => BreakerState::HalfOpen,
        }
    }

    /// The generation in which letting a call through and its success change nothing, so that callers need not ask;
    /// `None` while there is something to count or to refuse.
    #[must_use]
    pub fn clear_generation(&self) -> Option<u64> {
        let is_clear = match self.manual {
            Some(Override::ForcedOpen) => false,
            Some(Override::ForcedClosed | Override::Disabled) => true,
            None => matches!(self.state, State::Closed) && self.consecutive_failures == 0 && self.window.is_none(),
        };
        is_clear.then_some(self.generation)
    }

    /// Whether it is as new: closed by itself, without a failure that counts.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let has_failures = self.window.as_ref().is_some_and(|window| window.total().calls != 0);
        let is_closed = self.manual.is_none() && matches!(self.state, State::Closed);
        is_closed && self.consecutive_failures == 0 && !has_failures
    }

    /// Lets a call through, or refuses it. A breaker whose open time is over becomes half open by it.
    pub fn enter(&mut self, now: Moment) -> (Result<Admission, BreakerOpen>, Option<Transition>) {
        let transition = self.advance(now);
        if let Err(refusal) = self.check(self.latest) {
            self.rejected_total += 1;
            return (Err(refusal), transition);
        }
        let mut admission = Admission::of_generation(self.generation);
        if let State::HalfOpen { probes, .. } = &mut self.state {
            let probe = self.next_probe;
            self.next_probe += 1;
            probes.take(probe, self.latest.after(self.settings.probe_timeout));
            assert!(
                probes.out(self.latest) <= self.settings.half_open_max_probes as usize,
                "probes are counted exactly"
            );
            admission.probe = Some(probe);
        }
        (Ok(admission), transition)
    }

    /// Answers as [`Self::enter`] would, and takes nothing.
    ///
    /// # Errors
    /// A [`BreakerOpen`].
    pub fn check(&self, now: Moment) -> Result<(), BreakerOpen> {
        let now = now.max(self.latest);
        let refuse = |retry_after| Err(BreakerOpen { name: self.name.clone(), retry_after });
        match (self.manual, &self.state) {
            (Some(Override::ForcedOpen), _) => refuse(self.settings.timeout),
            (Some(Override::ForcedClosed | Override::Disabled), _) | (None, State::Closed) => Ok(()),
            (None, State::Open { until }) if now < *until => refuse(until.since(now)),
            (None, State::Open { .. }) => Ok(()),
            (None, State::HalfOpen { probes, .. }) => match probes.next_expiry(now) {
                Some(expiry) if self.settings.half_open_max_probes as usize <= probes.out(now) => {
                    refuse(expiry.since(now).min(PROBES_OUT_WAIT_MAX))
                }
                _ => Ok(()),
            },
        }
    }

    /// Counts how an admitted call ended: nowhere, if the breaker has changed since it was let through. A probe that
    /// took longer than its slot was kept counts all the same: where every call takes so long, none else would tell.
    /// `random` is any number, and spreads the end of the open time.
    pub fn record(
        &mut self,
        admission: Admission,
        class: Class,
        outcome: &Outcome,
        now: Moment,
        random: u64,
    ) -> Option<Transition> {
        let now = self.see(now);
        if admission.generation != self.generation || self.manual.is_some() {
            return None;
        }
        let slow_calls = self.settings.slow_calls.as_ref();
        let is_slow = slow_calls.is_some_and(|slow| outcome.latency.is_some_and(|latency| slow.at_least <= latency));
        match &mut self.state {
            State::Open { .. } => None, // Nothing is let through in its generation.
            // It opens nothing either, though time may have made the rate worse.
            State::Closed if class == Class::Neutral => None,
            State::Closed => {
                self.count(class == Class::Failure, is_slow, now);
                let cause = self.reason_to_open()?;
                Some(self.open(cause, outcome.retry_after, random))
            }
            State::HalfOpen { probes, successes } => {
                probes.give_back(admission.probe?); // Only probes are let through in its generation.
                match class {
                    Class::Neutral => None,
                    Class::Success if !is_slow => {
                        *successes += 1;
                        let is_enough = self.settings.success_threshold <= *successes;
                        is_enough.then(|| self.close(None, Cause::ProbesSucceeded))
                    }
                    Class::Success | Class::Failure => Some(self.open(Cause::ProbeFailed, outcome.retry_after, random)),
                }
            }
        }
    }

    /// Lets time pass: frees the slots of probes whose time is over, and ends the open time.
    pub fn advance(&mut self, now: Moment) -> Option<Transition> {
        let now = self.see(now);
        match &mut self.state {
            State::Open { until } if *until <= now => {
                let half_open = State::HalfOpen { probes: ProbeSlots::default(), successes: 0 };
                Some(self.change(half_open, None, Cause::OpenTimeOver))
            }
            _ => None,
        }
    }

    /// When [`Self::advance`] has something to do by itself.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        match &self.state {
            State::Closed => None,
            State::Open { until } => Some(*until),
            State::HalfOpen { probes, .. } => probes.next_expiry(self.latest),
        }
    }

    /// Puts a person's decision in place of its own; nothing happens if that is in force already.
    pub fn override_with(&mut self, manual: Override) -> Option<Transition> {
        if self.manual == Some(manual) {
            return None;
        }
        let cause = match manual {
            Override::ForcedOpen => Cause::ForcedOpen,
            Override::ForcedClosed => Cause::ForcedClosed,
            Override::Disabled => Cause::Disabled,
        };
        Some(self.close(Some(manual), cause))
    }

    /// Begins afresh: closed, nothing counted, no override. Outcomes of calls that are under way count nowhere.
    pub fn reset(&mut self) -> Transition {
        self.close(None, Cause::Reset)
    }

    /// Takes note of the time, and drops what is over by it.
    fn see(&mut self, now: Moment) -> Moment {
        self.latest = self.latest.max(now);
        if let State::HalfOpen { probes, .. } = &mut self.state {
            probes.expire(self.latest);
        }
        if let Some(window) = &mut self.window {
            window.forget(self.latest);
        }
        self.latest
    }

    fn count(&mut self, is_failure: bool, is_slow: bool, now: Moment) {
        self.consecutive_failures = if is_failure { self.consecutive_failures.saturating_add(1) } else { 0 };
        if let Some(window) = &mut self.window {
            window.count(is_failure, is_slow, now);
        }
    }

    fn reason_to_open(&self) -> Option<Cause> {
        let settings = &self.settings;
        if settings.failure_threshold.is_some_and(|threshold| threshold <= self.consecutive_failures) {
            return Some(Cause::ConsecutiveFailures);
        }
        let tally = self.window.as_ref()?.total();
        if tally.calls < u64::from(settings.minimum_calls) {
            return None;
        }
        let is_reached = |rate_percent: u64, calls: u64| rate_percent * tally.calls <= calls * 100;
        if settings.failure_rate_percent.is_some_and(|rate_percent| is_reached(rate_percent, tally.failures)) {
            return Some(Cause::FailureRate);
        }
        let is_slow = settings.slow_calls.is_some_and(|slow| is_reached(slow.rate_percent, tally.slow_calls));
        is_slow.then_some(Cause::SlowCallRate)
    }

    fn open(&mut self, cause: Cause, retry_after: Option<Duration>, random: u64) -> Transition {
        let open_time = self.settings.open_time(self.openings_in_a_row, retry_after, random);
        self.openings_in_a_row = self.openings_in_a_row.saturating_add(1);
        self.opened_total += 1;
        self.change(State::Open { until: self.latest.after(open_time) }, None, cause)
    }

    fn close(&mut self, manual: Option<Override>, cause: Cause) -> Transition {
        self.openings_in_a_row = 0;
        self.change(State::Closed, manual, cause)
    }

    /// Begins a new generation, in which nothing is counted yet.
    fn change(&mut self, state: State, manual: Option<Override>, cause: Cause) -> Transition {
        let from = self.state();
        self.state = state;
        self.manual = manual;
        self.generation += 1;
        self.cause = Some(cause);
        self.consecutive_failures = 0;
        if let Some(window) = &mut self.window {
            window.clear();
        }
        Transition { name: self.name.clone(), from, to: self.state(), generation: self.generation, cause }
    }
}
