//! What a limit decides under pauses and withholding, over time.

use super::*;
use crate::policy::{Definition, DefinitionFields, Limit, LimitState, Mode, Verdict};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * SECOND)
}

fn pause(until: u64) -> Restraint {
    Restraint::Pause { until: at(until) }
}

fn tighten(remaining: u64, until: u64) -> Restraint {
    Restraint::Tighten { remaining, until: at(until) }
}

/// Frees, refills or times out within a minute.
fn definition(kind: &str, capacity: u64) -> Definition {
    let (of_kind, key) = (|name| (kind == name).then_some(60), "k".to_owned());
    let fields = DefinitionFields {
        key,
        kind: kind.to_owned(),
        capacity,
        window_seconds: of_kind("rolling"),
        timeout_seconds: of_kind("concurrency"),
        refill_amount: of_kind("token_bucket"),
        refill_seconds: of_kind("token_bucket"),
        ..Default::default()
    };
    fields.check().expect("a good definition")
}

fn limit(kind: &str, capacity: u64) -> Limit {
    Limit::new(&definition(kind, capacity), at(0))
}

fn both(seconds: u64) -> FreeAt {
    FreeAt { expected: at(seconds), earliest: at(seconds) }
}

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

#[test]
fn a_paused_limit_admits_nothing_until_exactly_the_end() {
    for kind in KINDS {
        let mut limit = limit(kind, 10);
        limit.restrain(pause(30), at(0));
        for amount in [0, 1, 10] {
            assert_eq!(limit.verdict(amount, at(5)), Verdict::Paused(both(30)), "{kind}");
        }
        assert_eq!(limit.verdict(11, at(5)), Verdict::NeverFits);
        assert_eq!((limit.available(at(5)), limit.paused_until(at(5))), (10, Some(at(30))));
        let before = Moment::from_nanos(30 * SECOND - 1);
        assert_eq!(limit.verdict(1, before), Verdict::Paused(both(30)), "{kind}");
        assert_eq!((limit.verdict(1, at(30)), limit.paused_until(at(30))), (Verdict::Fits, None), "{kind}");
    }
}

#[test]
fn a_pause_is_prolonged_and_never_shortened() {
    let mut limit = limit("rolling", 10);
    for (until, now, ends) in [(30, 0, 30), (20, 1, 30), (40, 2, 40), (3, 3, 40), (1, 4, 40)] {
        limit.restrain(pause(until), at(now));
        assert_eq!(limit.paused_until(at(now)), Some(at(ends)));
    }
    assert_eq!(limit.verdict(1, at(40)), Verdict::Fits);
    limit.restrain(pause(41), at(40));
    assert_eq!(limit.verdict(1, at(40)), Verdict::Paused(both(41)), "a new one can begin");
}

#[test]
fn a_full_limit_that_is_paused_promises_when_the_amount_fits() {
    let mut limit = limit("rolling", 10);
    limit.reserve(8, at(0));
    limit.restrain(pause(30), at(0));
    let both_ways = FreeAt { expected: at(60), earliest: at(30) };
    assert_eq!(
        (limit.verdict(2, at(1)), limit.verdict(3, at(1))),
        (Verdict::Paused(both(30)), Verdict::Paused(both_ways))
    );
}

#[test]
fn a_report_of_less_withholds_the_difference_until_its_end() {
    for (kind, withheld, shown) in [("rolling", 7, 3), ("token_bucket", 7, 3), ("concurrency", 0, 10)] {
        let mut limit = limit(kind, 10);
        limit.restrain(tighten(3, 30), at(0));
        assert_eq!((limit.available(at(0)), limit.withheld(at(0))), (shown, withheld), "{kind}");
        assert_eq!((limit.available(at(30)), limit.withheld(at(30))), (10, 0), "{kind}");
    }
}

#[test]
fn a_report_that_says_nothing_new_changes_nothing() {
    let mut limit = limit("rolling", 10);
    limit.restrain(tighten(10, 30), at(0));
    assert_eq!(limit.withheld(at(0)), 0);
    limit.restrain(tighten(4, 30), at(0));
    for (remaining, until) in [(4, 30), (9, 20), (10, 50), (u64::MAX, 50), (0, 0), (4, 10)] {
        limit.restrain(tighten(remaining, until), at(1));
        assert_eq!((limit.available(at(1)), limit.clone().available(at(30))), (4, 10), "{remaining} until {until}");
    }
}

#[test]
fn of_several_reports_the_one_that_withholds_most_counts_until_its_end() {
    let mut limit = limit("rolling", 10);
    // As where a provider counts by the day and by the second: a dip of seconds does not last for the day.
    limit.restrain(tighten(6, 50), at(0));
    limit.restrain(tighten(1, 20), at(1));
    limit.restrain(tighten(3, 40), at(2));
    let available = |seconds| limit.clone().available(at(seconds));
    assert_eq!([2, 19, 20, 39, 40, 49, 50].map(available), [1, 1, 3, 3, 6, 6, 10]);
    assert_eq!(limit.verdict(4, at(2)), Verdict::Wait(both(40)));
    limit.restrain(tighten(1, 60), at(3));
    assert_eq!([3, 59, 60].map(|seconds| limit.clone().available(at(seconds))), [1, 1, 10], "it covers them all");
}

#[test]
fn of_too_many_reports_the_most_alike_become_one() {
    let mut limit = limit("rolling", 1_000);
    for second in 0..100 {
        limit.restrain(tighten(second * 9, 100 + second), at(0));
    }
    assert_eq!((limit.available(at(0)), limit.available(at(199))), (0, 1_000));
}

#[test]
fn a_wait_ends_when_enough_has_freed_or_nothing_is_withheld() {
    let mut limit = limit("rolling", 10);
    limit.reserve(4, at(0));
    limit.reserve(2, at(10));
    limit.restrain(tighten(1, 80), at(10)); // Of the 4 that are free, 3 are withheld.
    let wait = |limit: &mut Limit, amount| match limit.verdict(amount, at(10)) {
        Verdict::Wait(free) => free.expected,
        other => panic!("{other:?}"),
    };
    assert_eq!(limit.verdict(1, at(10)), Verdict::Fits);
    assert_eq!([2, 5, 6, 7, 8, 10].map(|amount| wait(&mut limit, amount)), [60, 60, 70, 70, 80, 80].map(at));

    let mut bucket = self::limit("token_bucket", 10); // One a second.
    bucket.reserve(10, at(0));
    bucket.restrain(tighten(0, 9), at(0));
    assert_eq!(bucket.verdict(5, at(0)), Verdict::Wait(FreeAt { expected: at(5), earliest: at(0) }));
    bucket.restrain(tighten(0, 9), at(3)); // The 3 that have flowed since are withheld.
    assert_eq!(bucket.verdict(5, at(3)), Verdict::Wait(FreeAt { expected: at(8), earliest: at(3) }));
    assert_eq!(bucket.verdict(7, at(3)), Verdict::Wait(FreeAt { expected: at(9), earliest: at(3) }));
    assert_eq!((bucket.available(at(8)), bucket.available(at(9))), (5, 9));
}

#[test]
fn what_a_completion_frees_is_not_withheld() {
    let mut limit = limit("rolling", 10);
    let hold = limit.reserve(6, at(0));
    limit.restrain(tighten(0, 30), at(0));
    assert_eq!(limit.available(at(0)), 0);
    limit.complete(hold, 6, Some(1), at(1));
    assert_eq!((limit.available(at(1)), limit.available(at(30)), limit.available(at(60))), (5, 9, 10));
}

#[test]
fn use_beyond_a_reservation_is_taken_from_what_is_withheld() {
    for kind in ["rolling", "token_bucket"] {
        let mut limit = limit(kind, 10);
        let hold = limit.reserve(4, at(0));
        limit.restrain(tighten(1, 3), at(0));
        limit.complete(hold, 4, Some(7), at(0));
        assert_eq!((limit.available(at(0)), limit.debt(), limit.counters().overage), (0, 0, 0), "{kind}");
        let flowed = if kind == "rolling" { 0 } else { 3 };
        assert_eq!(limit.available(at(3)), 3 + flowed, "{kind}");
    }
}

#[test]
fn a_decrease_is_applied_by_the_books_and_what_is_withheld_stays() {
    for kind in ["rolling", "token_bucket"] {
        let mut limit = limit(kind, 10);
        limit.restrain(tighten(2, 30), at(0));
        limit.restrain(pause(20), at(0));
        let lower = definition(kind, 5);
        assert_eq!(limit.redefine(&lower, at(0)), LimitState::Active, "{kind}");
        assert_eq!((limit.available(at(0)), limit.withheld(at(0))), (0, 8), "{kind}");
        assert_eq!((limit.verdict(1, at(0)), limit.verdict(6, at(0))), (Verdict::Paused(both(30)), Verdict::NeverFits));
        limit.redefine(&definition(kind, 20), at(1));
        assert_eq!(limit.withheld(at(1)), 8, "{kind}");
        assert_eq!(limit.paused_until(at(1)), Some(at(20)), "{kind}");
    }
}

#[test]
fn a_decrease_comes_before_a_pause() {
    let mut limit = limit("rolling", 10);
    limit.reserve(10, at(0));
    limit.restrain(pause(30), at(0));
    limit.redefine(&definition("rolling", 5), at(0));
    assert_eq!(limit.verdict(1, at(0)), Verdict::Decreasing);
}

#[test]
fn a_restrained_limit_is_not_idle() {
    for restraint in [pause(30), tighten(0, 30)] {
        let mut limit = limit("rolling", 10);
        limit.restrain(restraint, at(0));
        assert!(!limit.is_idle(at(29)) && limit.is_idle(at(30)), "{restraint:?}");
    }
    let mut limit = limit("concurrency", 10);
    limit.restrain(tighten(0, 30), at(0));
    assert!(limit.is_idle(at(0)), "it means nothing to a concurrency limit");
}

#[test]
fn a_paused_shadow_limit_counts_and_admits() {
    let mut definition = definition("rolling", 10);
    definition.mode = Mode::Shadow;
    let mut limit = Limit::new(&definition, at(0));
    limit.restrain(pause(30), at(0));
    assert_eq!((limit.verdict(1, at(0)), limit.enforces()), (Verdict::Paused(both(30)), false));
    limit.count_refusal();
    limit.reserve(1, at(0));
    assert_eq!((limit.counters().would_deny, limit.available(at(0))), (1, 9));
}

#[test]
fn a_clock_that_steps_back_ends_no_restraint_and_revives_none() {
    let mut limit = limit("rolling", 10);
    limit.restrain(pause(30), at(20));
    assert_eq!(limit.verdict(1, at(5)), Verdict::Paused(both(30)));
    assert_eq!(limit.verdict(1, at(30)), Verdict::Fits);
    assert_eq!((limit.verdict(1, at(29)), limit.paused_until(at(29))), (Verdict::Fits, None));
    limit.restrain(pause(29), at(0));
    assert_eq!(limit.verdict(1, at(0)), Verdict::Fits, "it had ended before");
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let mut limit = limit("rolling", u64::MAX);
    limit.restrain(Restraint::Tighten { remaining: 0, until: Moment::from_nanos(u64::MAX) }, at(0));
    limit.restrain(Restraint::Pause { until: Moment::from_nanos(u64::MAX) }, at(0));
    let end = FreeAt { expected: Moment::from_nanos(u64::MAX), earliest: Moment::from_nanos(u64::MAX) };
    assert_eq!((limit.available(at(0)), limit.verdict(u128::from(u64::MAX), at(0))), (0, Verdict::Paused(end)));
}

/// What happens to a limit.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Reserve(u64),
    Complete(usize, u64),
    Restrain(Restraint),
    Redefine(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let any_restraint = (any::<bool>(), 0_u64..40, 0_u64..150);
    prop_oneof![
        (0_u64..20).prop_map(Step::Pass),
        (0_u64..30).prop_map(Step::Reserve),
        (any::<usize>(), 0_u64..40).prop_map(|(which, actual)| Step::Complete(which, actual)),
        any_restraint.prop_map(|(pauses, remaining, until)| {
            Step::Restrain(if pauses { pause(until / 2) } else { tighten(remaining, until) })
        }),
        (1_u64..40).prop_map(Step::Redefine),
    ]
}

/// A limit and its twin, which is told the same but for the restraints.
struct Twins {
    kind: &'static str,
    restrained: Limit,
    free: Limit,
    in_force: Definition,
    holds: Vec<(crate::policy::HoldId, crate::policy::HoldId, u64)>,
    paused_until: u64,
    now: u64,
}

impl Twins {
    fn new(kind: &'static str, capacity: u64) -> Self {
        let (in_force, holds) = (definition(kind, capacity), Vec::new());
        let (restrained, free) = (limit(kind, capacity), limit(kind, capacity));
        Self { kind, restrained, free, in_force, holds, paused_until: 0, now: 0 }
    }

    fn reserve(&mut self, amount: u64) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let verdict = self.restrained.verdict(u128::from(amount), now);
        let unrestrained = self.free.verdict(u128::from(amount), now);
        match verdict {
            Verdict::Fits => {
                prop_assert!(self.paused_until <= self.now, "a pause ended early");
                prop_assert_eq!(unrestrained, Verdict::Fits, "a restraint loosened the limit");
                self.holds.push((self.restrained.reserve(amount, now), self.free.reserve(amount, now), amount));
            }
            Verdict::Paused(free) | Verdict::Wait(free) => {
                prop_assert!(free.earliest <= free.expected && now < free.expected);
                let before = Moment::from_nanos(free.expected.as_nanos() - 1);
                let retried = |moment| self.restrained.clone().verdict(u128::from(amount), moment);
                prop_assert_ne!(retried(before), Verdict::Fits, "it fits earlier than promised");
                prop_assert_eq!(retried(free.expected), Verdict::Fits, "it does not fit when promised");
                prop_assert_eq!(matches!(verdict, Verdict::Paused(_)), self.now < self.paused_until);
                if now < free.earliest {
                    // However many leases complete, nothing can be admitted before.
                    let mut emptied = self.restrained.clone();
                    for (hold, _, amount) in &self.holds {
                        emptied.complete(*hold, *amount, Some(0), now);
                    }
                    let before = Moment::from_nanos(free.earliest.as_nanos() - 1);
                    prop_assert_ne!(emptied.verdict(u128::from(amount), before), Verdict::Fits);
                }
            }
            Verdict::NeverFits | Verdict::Decreasing => prop_assert_eq!(verdict, unrestrained),
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = at(self.now);
        match *step {
            Step::Pass(seconds) => self.now += seconds,
            Step::Reserve(amount) => self.reserve(amount)?,
            Step::Complete(..) if self.holds.is_empty() => {}
            Step::Complete(which, actual) => {
                let (restrained, free, amount) = self.holds.swap_remove(which % self.holds.len());
                self.restrained.complete(restrained, amount, Some(u128::from(actual)), now);
                self.free.complete(free, amount, Some(u128::from(actual)), now);
            }
            Step::Restrain(restraint) => {
                let before = self.restrained.available(now);
                self.restrained.restrain(restraint, now);
                prop_assert!(self.restrained.available(now) <= before, "a report loosened the limit");
                if let Restraint::Pause { until } = restraint {
                    self.paused_until = self.paused_until.max(until.as_nanos() / SECOND);
                }
            }
            Step::Redefine(capacity) => {
                self.in_force = definition(self.kind, capacity);
                self.restrained.redefine(&self.in_force, now);
                self.free.redefine(&self.in_force, now);
            }
        }
        let now = at(self.now);
        self.restrained.settle(&self.in_force, now);
        self.free.settle(&self.in_force, now);
        let withheld = self.restrained.withheld(now);
        prop_assert_eq!(self.restrained.available(now), self.free.available(now).saturating_sub(withheld));
        prop_assert_eq!((self.restrained.debt(), self.restrained.state()), (self.free.debt(), self.free.state()));
        Ok(())
    }
}

proptest! {
    /// Whatever happens: who is admitted under restraints would be without them, the books are the same, no pause ends
    /// early, and every promised moment is exact.
    #[test]
    fn restraints_only_tighten_and_their_promises_are_exact(
        kind in prop::sample::select(KINDS.to_vec()), capacity in 1_u64..40,
        steps in proptest::collection::vec(any_step(), 1..80),
    ) {
        let mut twins = Twins::new(kind, capacity);
        for step in &steps {
            twins.step(step)?;
        }
        // Once all has ended, nothing of it is left.
        let end = at(twins.now + 1_000);
        prop_assert_eq!(twins.restrained.available(end), twins.free.available(end));
    }
}
