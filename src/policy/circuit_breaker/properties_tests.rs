//! What holds for a circuit breaker with any settings, whatever happens in whatever order.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{
    Admission, BreakerFields, BreakerName, BreakerSettings, BreakerState, Cause, CircuitBreaker, Override, Transition,
};
use crate::policy::moment::Moment;
use crate::policy::outcome::{Class, Outcome};

#[derive(Clone, Debug)]
enum Step {
    Enter,
    /// Which of those that are under way, how it ended, and what the upstream asked for.
    Report(usize, Class, u64, Option<u64>),
    Vanish(usize),
    Pass(u64),
    GoBack(u64),
    Decide(Override),
    Reset,
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Success), Just(Class::Failure), Just(Class::Failure), Just(Class::Neutral)]
}

fn step() -> impl Strategy<Value = Step> {
    let manual = prop_oneof![Just(Override::ForcedOpen), Just(Override::ForcedClosed), Just(Override::Disabled)];
    let report = (any::<usize>(), class(), 0_u64..400, proptest::option::weighted(0.1, 0_u64..2_000));
    prop_oneof![
        12 => Just(Step::Enter),
        12 => report.prop_map(|(which, class, ms, asked)| Step::Report(which, class, ms, asked)),
        2 => any::<usize>().prop_map(Step::Vanish),
        6 => (0_u64..700).prop_map(Step::Pass),
        1 => (0_u64..2_000).prop_map(Step::GoBack),
        1 => manual.prop_map(Step::Decide),
        1 => Just(Step::Reset),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    proptest::collection::vec((step(), any::<u64>()), 1..200)
}

fn settings() -> impl Strategy<Value = BreakerSettings> {
    let some = proptest::option::of::<std::ops::Range<u64>>;
    let opening = (some(1..6), some(1..101), some(1..101), any::<bool>(), 1_u64..20, 1_u64..20);
    let timing = (1_u64..500, 1_u64..8, 0_u64..101, 1_u64..4, 1_u64..500, 1_u64..4);
    (opening, timing).prop_map(|(opening, timing)| {
        let (failure_threshold, failure_rate_percent, slow_call_rate_percent, by_calls, minimum_calls, more) = opening;
        let (timeout_ms, growth, jitter_percent, probes, probe_timeout_ms, successes) = timing;
        let has_rate = failure_rate_percent.is_some() || slow_call_rate_percent.is_some();
        let fields = BreakerFields {
            failure_threshold,
            failure_rate_percent,
            minimum_calls: has_rate.then_some(minimum_calls),
            window_calls: (has_rate && by_calls).then_some(minimum_calls + more),
            window_seconds: (has_rate && !by_calls).then_some(1),
            slow_call_ms: slow_call_rate_percent.map(|_| 300),
            slow_call_rate_percent,
            timeout_ms: Some(timeout_ms),
            timeout_ms_max: Some(timeout_ms * growth),
            jitter_percent: Some(jitter_percent),
            half_open_max_probes: Some(probes),
            probe_timeout_ms: Some(probe_timeout_ms),
            success_threshold: Some(successes),
        };
        fields.check(&BreakerSettings::default()).expect("good settings")
    })
}

/// A breaker, the calls under way, and the time. Checks at each step what may not be otherwise.
struct World {
    breaker: CircuitBreaker,
    under_way: Vec<(Admission, Moment)>,
    now: Moment,
    /// The latest moment the breaker was told.
    latest: Moment,
    /// The changes there were, by what they led from and to.
    seen: HashSet<(BreakerState, BreakerState)>,
}

impl World {
    fn new(settings: BreakerSettings) -> Self {
        let name = BreakerName::parse("upstream").expect("a good name");
        let breaker = CircuitBreaker::new(name, settings);
        Self { breaker, under_way: Vec::new(), now: Moment::START, latest: Moment::START, seen: HashSet::new() }
    }

    fn take(&mut self, step: &Step, random: u64) {
        let ms = Duration::from_millis;
        match step {
            Step::Pass(passed) => self.now = self.now.after(ms(*passed)),
            Step::GoBack(back) => {
                self.now = Moment::from_nanos(self.now.as_nanos().saturating_sub(back * 1_000_000));
            }
            Step::Enter => self.enter(),
            Step::Report(which, class, latency, asked) => {
                let outcome = Outcome { latency: Some(ms(*latency)), retry_after: asked.map(ms), ..Outcome::default() };
                self.report(*which, *class, &outcome, random);
            }
            Step::Vanish(which) => {
                if !self.under_way.is_empty() {
                    drop(self.under_way.swap_remove(which % self.under_way.len()));
                }
            }
            Step::Decide(manual) => {
                let before = self.breaker.view();
                let transition = self.breaker.override_with(*manual);
                assert_eq!(transition.is_none(), before.manual == Some(*manual));
                assert_eq!(self.breaker.view().manual, Some(*manual));
            }
            Step::Reset => {
                let transition = self.breaker.reset();
                assert_eq!((transition.to, transition.cause), (BreakerState::Closed, Cause::Reset));
                assert!(self.breaker.is_blank());
            }
        }
    }

    fn enter(&mut self) {
        self.advance();
        let (before, clear, checked) =
            (self.breaker.view(), self.breaker.clear_generation(), self.breaker.check(self.now));
        let (answer, transition) = self.breaker.enter(self.now);
        assert_eq!(transition, None, "time has passed already");
        assert_eq!(answer.as_ref().err(), checked.as_ref().err(), "checking tells what entering does");
        let after = self.breaker.view();
        match answer {
            Ok(admission) => {
                assert_eq!(admission.generation(), before.generation);
                assert_eq!(admission.is_probe(), before.state == BreakerState::HalfOpen);
                assert_eq!(after.probes, before.probes + u32::from(admission.is_probe()));
                if let Some(generation) = clear {
                    assert_eq!((&admission, &after), (&Admission::of_generation(generation), &before));
                }
                self.under_way.push((admission, self.latest));
            }
            Err(refusal) => {
                assert_ne!(before.state, BreakerState::Closed);
                assert!(!refusal.retry_after.is_zero() && clear.is_none());
                assert_eq!(after.rejected_total, before.rejected_total + 1);
            }
        }
    }

    fn report(&mut self, which: usize, class: Class, outcome: &Outcome, random: u64) {
        self.advance();
        if self.under_way.is_empty() {
            return;
        }
        let (admission, entered_at) = self.under_way.swap_remove(which % self.under_way.len());
        let (before, clear) = (self.breaker.view(), self.breaker.clear_generation());
        let is_old = admission.generation() != before.generation || before.manual.is_some();
        let is_late = admission.is_probe() && self.breaker.settings().probe_timeout <= self.latest.since(entered_at);
        let is_clear = clear == Some(admission.generation());
        let transition = self.breaker.record(admission, class, outcome, self.now, random);
        let after = self.breaker.view();
        if is_old || is_late || (is_clear && class != Class::Failure) {
            assert_eq!((&transition, &after), (&None, &before), "it counts nowhere");
        }
        match &transition {
            Some(transition) => self.check_transition(transition, before.state),
            None => {
                assert_eq!(after.generation, before.generation);
                assert!(after.consecutive_failures <= before.consecutive_failures + 1, "it counts once");
                assert!(after.window_calls <= before.window_calls + 1, "it counts once");
                assert!(after.probe_successes <= before.probe_successes + 1, "it counts once");
                assert!(before.probes <= after.probes + 1);
            }
        }
    }

    fn advance(&mut self) {
        self.latest = self.latest.max(self.now);
        let before = self.breaker.view();
        if let Some(transition) = self.breaker.advance(self.now) {
            assert_eq!((transition.to, transition.cause), (BreakerState::HalfOpen, Cause::OpenTimeOver));
            self.check_transition(&transition, before.state);
        }
        let settings = self.breaker.settings().clone();
        let view = self.breaker.view();
        let holds_slot = |(admission, entered_at): &&(Admission, Moment)| {
            let is_present = admission.generation() == view.generation && admission.is_probe();
            is_present && self.latest.since(*entered_at) < settings.probe_timeout
        };
        let out = self.under_way.iter().filter(holds_slot).count();
        assert!(out <= view.probes as usize, "each probe has its slot until its time is over");
        assert!(view.probes <= settings.half_open_max_probes, "never more than may be");
        assert!(view.probe_successes < settings.success_threshold, "enough of them close it");
        assert!(view.window_failures <= view.window_calls && view.window_slow_calls <= view.window_calls);
    }

    fn check_transition(&mut self, transition: &Transition, from: BreakerState) {
        use BreakerState::{Closed, HalfOpen, Open};
        assert_eq!((transition.from, transition.to), (from, self.breaker.state()));
        assert_eq!(transition.generation, self.breaker.view().generation);
        let is_known = matches!((transition.from, transition.to), (Closed, Open) | (Open, HalfOpen) | (HalfOpen, _));
        assert!(is_known && transition.from != transition.to, "{transition:?}");
        self.seen.insert((transition.from, transition.to));
    }

    /// With every call gone for good, one gets in within an open time and a probe's time.
    fn check_that_it_is_not_stuck(mut self) {
        self.under_way.clear();
        if self.breaker.view().manual == Some(Override::ForcedOpen) {
            return;
        }
        self.advance();
        let open_for = Duration::from_millis(self.breaker.view().retry_after_ms);
        let asked_max = Duration::from_millis(2_000);
        assert!(open_for <= 2 * self.breaker.settings().timeout_max.max(asked_max), "{open_for:?}");
        self.now = self.latest.after(open_for);
        let probes = self.breaker.settings().half_open_max_probes;
        for _ in 0..=probes {
            self.enter(); // Takes all there are, and tells nothing.
        }
        self.now = self.now.after(self.breaker.settings().probe_timeout);
        assert!(self.breaker.enter(self.now).0.is_ok(), "{:?}", self.breaker.view());
    }
}

proptest! {
    #[test]
    fn whatever_happens_it_counts_exactly_and_never_gets_stuck(
        settings in settings(),
        steps in steps(),
    ) {
        let mut world = World::new(settings);
        let mut generation = 1;
        for (step, random) in &steps {
            world.take(step, *random);
            let next = world.breaker.view().generation;
            prop_assert!(generation <= next && next <= generation + 2, "one change a step, and one by time");
            generation = next;
        }
        world.check_that_it_is_not_stuck();
    }
}

#[test]
fn the_walks_lead_through_every_change_there_is() {
    let (mut runner, mut seen) = (TestRunner::deterministic(), HashSet::new());
    for _ in 0..200 {
        let walk = (settings(), steps()).new_tree(&mut runner).expect("a walk");
        let (settings, steps) = walk.current();
        let mut world = World::new(settings);
        steps.iter().for_each(|(step, random)| world.take(step, *random));
        seen.extend(world.seen);
    }
    use BreakerState::{Closed, HalfOpen, Open};
    assert_eq!(seen, HashSet::from([(Closed, Open), (Open, HalfOpen), (HalfOpen, Open), (HalfOpen, Closed)]));
}
