//! What one limit decides, over time.

use super::*;
use crate::policy::DefinitionFields;
use crate::policy::FreeAt;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * SECOND)
}

fn definition(json: &str) -> Definition {
    let fields: DefinitionFields = serde_json::from_str(json).expect("well-formed fields");
    fields.check().expect("a good definition")
}

fn rolling(capacity: u64, overage: &str) -> Definition {
    definition(&format!(
        r#"{{"key":"k","kind":"rolling","capacity":{capacity},"window_seconds":60,"overage":"{overage}"}}"#
    ))
}

fn bucket(capacity: u64, overage: &str) -> Definition {
    definition(&format!(
        r#"{{"key":"k","kind":"token_bucket","capacity":{capacity},"refill_amount":1,"refill_seconds":1,"overage":"{overage}"}}"#
    ))
}

fn concurrency(capacity: u64) -> Definition {
    definition(&format!(r#"{{"key":"k","kind":"concurrency","capacity":{capacity},"timeout_seconds":60}}"#))
}

#[test]
fn what_a_call_did_not_use_is_free_at_once_and_the_rest_keeps_its_expiry() {
    let mut limit = Limit::new(&rolling(100, "debt"), at(0));
    let hold = limit.reserve(100, at(0));
    assert!(limit.complete(hold, 100, Some(30), at(10)));
    assert_eq!(limit.available(at(10)), 70);
    assert_eq!(limit.available(at(60)), 100);
}

#[test]
fn use_beyond_the_reservation_takes_what_fits_and_books_the_rest_by_policy() {
    for (overage, debt) in [("deny", 0), ("debt", 20), ("repay", 20)] {
        for definition in [rolling(100, overage), bucket(100, overage)] {
            let mut limit = Limit::new(&definition, at(0));
            let hold = limit.reserve(80, at(0));
            limit.complete(hold, 80, Some(120), at(0));
            assert_eq!(
                (limit.available(at(0)), limit.debt(), limit.counters().overage),
                (0, debt, 20),
                "{definition:?}"
            );
        }
    }
}

#[test]
fn repay_is_paid_from_what_frees_before_anyone_is_admitted() {
    let mut limit = Limit::new(&rolling(100, "repay"), at(0));
    let (first, second) = (limit.reserve(60, at(0)), limit.reserve(40, at(0)));
    limit.complete(first, 60, None, at(30));
    limit.complete(second, 40, Some(70), at(30));
    assert_eq!(
        (limit.debt(), limit.verdict(1, at(30))),
        (30, Verdict::Wait(FreeAt { expected: at(60), earliest: at(60) }))
    );
    assert_eq!((limit.available(at(60)), limit.debt()), (70, 0));

    let mut limit = Limit::new(&bucket(10, "repay"), at(0));
    let hold = limit.reserve(10, at(0));
    limit.complete(hold, 10, Some(15), at(0));
    assert_eq!((limit.debt(), limit.available(at(5)), limit.available(at(6))), (5, 0, 1));
    assert_eq!(limit.debt(), 0);
}

#[test]
fn concurrency_is_released_whatever_was_used() {
    for actual in [None, Some(0), Some(99)] {
        let mut limit = Limit::new(&concurrency(3), at(0));
        let hold = limit.reserve(3, at(0));
        assert_eq!(limit.available(at(0)), 0);
        assert!(limit.complete(hold, 3, actual, at(1)));
        assert_eq!((limit.available(at(1)), limit.debt()), (3, 0));
    }
}

#[test]
fn a_decrease_denies_until_it_fits_and_then_is_applied() {
    let (old, new) = (rolling(100, "debt"), rolling(40, "debt"));
    let mut limit = Limit::new(&old, at(0));
    limit.reserve(50, at(0));
    assert_eq!(limit.redefine(&new, at(1)), LimitState::Decreasing { to: new.capacity });
    assert_eq!((limit.verdict(1, at(1)), limit.verdict(41, at(1))), (Verdict::Decreasing, Verdict::NeverFits));
    assert_eq!(limit.next_change(at(1)), Some(at(60)));
    assert!(!limit.settle(&new, at(59)) && limit.settle(&new, at(60)));
    assert_eq!((limit.state(), limit.capacity(), limit.available(at(60))), (LimitState::Active, 40, 40));
}

#[test]
fn a_second_change_replaces_the_target_and_a_raise_is_immediate() {
    let mut limit = Limit::new(&rolling(100, "debt"), at(0));
    limit.reserve(100, at(0));
    assert_eq!(
        limit.redefine(&rolling(10, "debt"), at(0)),
        LimitState::Decreasing { to: NonZeroU64::new(10).expect("positive") }
    );
    assert_eq!(
        limit.redefine(&rolling(20, "debt"), at(0)),
        LimitState::Decreasing { to: NonZeroU64::new(20).expect("positive") }
    );
    assert_eq!(limit.redefine(&rolling(150, "debt"), at(0)), LimitState::Active);
    assert_eq!(limit.available(at(0)), 50);
}

#[test]
fn a_bucket_is_lowered_once_it_holds_the_difference() {
    let mut limit = Limit::new(&bucket(10, "debt"), at(0));
    limit.reserve(8, at(0));
    assert!(matches!(limit.redefine(&bucket(4, "debt"), at(0)), LimitState::Decreasing { .. }));
    assert_eq!(limit.next_change(at(0)), Some(at(4)));
    assert!(limit.settle(&bucket(4, "debt"), at(4)));
    assert_eq!((limit.capacity(), limit.available(at(4)), limit.available(at(9))), (4, 0, 4));
}

#[test]
fn a_shadow_limit_counts_what_it_would_deny_and_admits_it() {
    let mut definition = rolling(10, "debt");
    definition.mode = Mode::Shadow;
    let mut limit = Limit::new(&definition, at(0));
    limit.reserve(10, at(0));
    assert!(matches!(limit.verdict(5, at(0)), Verdict::Wait(_)) && !limit.enforces());
    limit.count_refusal();
    limit.reserve(5, at(0));
    assert_eq!((limit.available(at(0)), limit.counters().would_deny, limit.counters().denied), (0, 1, 0));
    assert_eq!(limit.available(at(60)), 10);
}

fn any_definition() -> impl Strategy<Value = Definition> {
    (1_u64..50, prop::sample::select(vec!["deny", "debt", "repay"]), 0_u8..3).prop_map(|(capacity, overage, kind)| {
        match kind {
            0 => rolling(capacity, overage),
            1 => concurrency(capacity),
            _ => bucket(capacity, overage),
        }
    })
}

proptest! {
    /// A clock that stands still or steps back admits nothing that the same calls at the latest time would not, and no
    /// wait it promises is longer than the limit's own period.
    #[test]
    fn a_clock_that_steps_back_changes_nothing(
        definition in any_definition(),
        steps in proptest::collection::vec((0_i64..7_200, 1_u64..60), 1..100),
    ) {
        let (mut stepping, mut steady) = (Limit::new(&definition, at(3_600)), Limit::new(&definition, at(3_600)));
        let (mut now, mut latest) = (3_600_u64, 3_600_u64);
        for (step, amount) in steps {
            now = now.saturating_add_signed(step - 3_600);
            latest = latest.max(now);
            let verdict = stepping.verdict(u128::from(amount), at(now));
            prop_assert_eq!(verdict, steady.verdict(u128::from(amount), at(latest)));
            match verdict {
                Verdict::Fits => {
                    stepping.reserve(amount, at(now));
                    steady.reserve(amount, at(latest));
                }
                Verdict::Wait(free) => prop_assert!(free.earliest <= free.expected && free.expected <= at(latest + 60)),
                Verdict::NeverFits => prop_assert!(definition.capacity.get() < amount),
                Verdict::Decreasing | Verdict::Paused(_) => prop_assert!(false, "nobody lowered or paused it"),
            }
        }
    }

    /// Refused until exactly the promised instant, granted at it, if nobody else comes.
    #[test]
    fn the_promised_instant_is_exact(
        definition in any_definition(),
        calls in proptest::collection::vec((0_u64..20, 1_u64..50, 0_u128..80, any::<bool>()), 1..60),
    ) {
        let (mut limit, mut now) = (Limit::new(&definition, at(0)), 0);
        for (gap, amount, actual, completes) in calls {
            now += gap;
            match limit.verdict(u128::from(amount), at(now)) {
                Verdict::Fits => {
                    let hold = limit.reserve(amount, at(now));
                    if completes {
                        limit.complete(hold, amount, Some(actual), at(now));
                    }
                }
                Verdict::Wait(free) => {
                    let before = Moment::from_nanos(free.expected.as_nanos() - 1);
                    prop_assert!(limit.clone().verdict(u128::from(amount), before) != Verdict::Fits);
                    prop_assert_eq!(limit.clone().verdict(u128::from(amount), free.expected), Verdict::Fits);
                }
                Verdict::NeverFits | Verdict::Decreasing | Verdict::Paused(_) => {}
            }
            prop_assert!(limit.available(at(now)) <= limit.capacity());
        }
    }
}
