//! When a circuit breaker opens, for how long, and what closes it.

use std::time::Duration;

use super::{BreakerFields, BreakerName, BreakerSettings, BreakerState, Cause, CircuitBreaker, Override, Transition};
use crate::policy::moment::Moment;
use crate::policy::outcome::{Class, Outcome};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> Moment {
    Moment::START.after(Duration::from_secs(seconds))
}

/// Without jitter.
fn steady() -> BreakerFields {
    BreakerFields { jitter_percent: Some(0), ..BreakerFields::default() }
}

fn breaker(fields: &BreakerFields) -> CircuitBreaker {
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    CircuitBreaker::new(BreakerName::parse("upstream").expect("a good name"), settings)
}

fn call(breaker: &mut CircuitBreaker, class: Class, outcome: &Outcome, now: Moment) -> Option<Cause> {
    let (admission, _) = breaker.enter(now);
    let transition = breaker.record(admission.expect("it is let through"), class, outcome, now, u64::MAX);
    transition.map(|transition| transition.cause)
}

fn fail(breaker: &mut CircuitBreaker, now: Moment) -> Option<Cause> {
    call(breaker, Class::Failure, &Outcome::default(), now)
}

fn succeed(breaker: &mut CircuitBreaker, now: Moment) -> Option<Cause> {
    call(breaker, Class::Success, &Outcome::success(), now)
}

fn wait(breaker: &CircuitBreaker, now: Moment) -> Duration {
    breaker.check(now).expect_err("it is open").retry_after
}

#[test]
fn a_success_ends_a_row_of_failures_and_what_is_neutral_does_not() {
    let mut breaker = breaker(&steady());
    for _ in 0..4 {
        assert_eq!(fail(&mut breaker, at(0)), None);
    }
    assert_eq!(succeed(&mut breaker, at(0)), None);
    for _ in 0..4 {
        assert_eq!(fail(&mut breaker, at(0)), None);
        assert_eq!(call(&mut breaker, Class::Neutral, &Outcome::of_status(429), at(0)), None);
    }
    assert_eq!(fail(&mut breaker, at(0)), Some(Cause::ConsecutiveFailures));
    assert_eq!((breaker.state(), wait(&breaker, at(0))), (BreakerState::Open, MINUTE));
}

#[test]
fn a_rate_over_a_window_of_calls_opens_once_there_are_enough_of_them() {
    let rate =
        BreakerFields { failure_rate_percent: Some(50), window_calls: Some(10), minimum_calls: Some(4), ..steady() };
    let mut first = breaker(&rate);
    for _ in 0..3 {
        assert_eq!(fail(&mut first, at(0)), None, "too few calls");
    }
    assert_eq!(succeed(&mut first, at(0)), Some(Cause::FailureRate), "the call that makes them enough counts as any");
    let mut second = breaker(&rate);
    for _ in 0..10 {
        assert_eq!(succeed(&mut second, at(0)), None);
    }
    for _ in 0..4 {
        assert_eq!(fail(&mut second, at(0)), None);
    }
    assert_eq!(fail(&mut second, at(0)), Some(Cause::FailureRate), "5 of the last 10");
    assert_eq!(second.view().window_calls, 0, "a window begins afresh");
}

#[test]
fn a_rate_over_a_window_of_time_forgets_what_is_older() {
    let rate =
        BreakerFields { failure_rate_percent: Some(50), window_seconds: Some(60), minimum_calls: Some(4), ..steady() };
    let mut breaker = breaker(&rate);
    for _ in 0..3 {
        assert_eq!(fail(&mut breaker, at(0)), None);
    }
    for _ in 0..3 {
        assert_eq!(succeed(&mut breaker, at(61)), None, "the failures are over");
    }
    for _ in 0..2 {
        assert_eq!(fail(&mut breaker, at(90)), None);
    }
    assert_eq!(fail(&mut breaker, at(90)), Some(Cause::FailureRate), "3 of 6");
}

#[test]
fn a_threshold_beside_a_rate_opens_by_itself() {
    let both = BreakerFields {
        failure_threshold: Some(2),
        failure_rate_percent: Some(100),
        window_calls: Some(100),
        ..steady()
    };
    let mut breaker = breaker(&both);
    assert_eq!(fail(&mut breaker, at(0)), None);
    assert_eq!(fail(&mut breaker, at(0)), Some(Cause::ConsecutiveFailures));
}

#[test]
fn slow_calls_open_it_and_a_slow_probe_opens_it_again() {
    let slow_fields = BreakerFields {
        slow_call_ms: Some(1_000),
        slow_call_rate_percent: Some(100),
        window_calls: Some(2),
        minimum_calls: Some(2),
        ..steady()
    };
    let mut breaker = breaker(&slow_fields);
    let taking = |ms| Outcome { latency: Some(Duration::from_millis(ms)), ..Outcome::success() };
    assert_eq!(call(&mut breaker, Class::Success, &taking(999), at(0)), None);
    assert_eq!(call(&mut breaker, Class::Success, &taking(1_000), at(0)), None);
    assert_eq!(call(&mut breaker, Class::Success, &taking(1_000), at(0)), Some(Cause::SlowCallRate));
    assert_eq!(call(&mut breaker, Class::Success, &taking(1_000), at(60)), Some(Cause::ProbeFailed));
    assert_eq!(call(&mut breaker, Class::Success, &taking(999), at(180)), None);
    assert_eq!(call(&mut breaker, Class::Success, &taking(999), at(180)), Some(Cause::ProbesSucceeded));
}

#[test]
fn the_open_time_doubles_up_to_its_bound_and_begins_anew_once_it_closed() {
    let mut breaker = breaker(&BreakerFields { failure_threshold: Some(1), success_threshold: Some(1), ..steady() });
    let mut now = at(0);
    for minutes in [1, 2, 4, 8, 10, 10] {
        assert!(fail(&mut breaker, now).is_some());
        assert_eq!(wait(&breaker, now), MINUTE * minutes);
        now = now.after(MINUTE * minutes);
    }
    assert_eq!(succeed(&mut breaker, now), Some(Cause::ProbesSucceeded));
    assert!(fail(&mut breaker, now).is_some());
    assert_eq!((wait(&breaker, now), breaker.view().openings_in_a_row, breaker.view().opened_total), (MINUTE, 1, 7));
}

#[test]
fn jitter_only_adds_and_spreads() {
    let mut waits = std::collections::HashSet::new();
    for number in 0..100_u64 {
        let mut breaker = breaker(&BreakerFields { failure_threshold: Some(1), ..BreakerFields::default() });
        let (admission, _) = breaker.enter(at(0));
        let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        breaker.record(admission.expect("it is closed"), Class::Failure, &Outcome::default(), at(0), random);
        waits.insert(wait(&breaker, at(0)));
    }
    assert!(waits.iter().all(|wait| (MINUTE..=MINUTE * 11 / 10).contains(wait)), "{waits:?}");
    assert!(95 < waits.len(), "{} different waits", waits.len());
}

#[test]
fn what_the_upstream_asks_for_is_a_floor_of_a_day_at_most() {
    for (asked, wanted) in
        [(Duration::ZERO, MINUTE), (MINUTE * 5, MINUTE * 5), (MINUTE * 30, MINUTE * 30), (DAY * 9, DAY)]
    {
        let mut breaker = breaker(&BreakerFields { failure_threshold: Some(2), ..steady() });
        let outcome = Outcome { retry_after: Some(asked), ..Outcome::of_status(503) };
        assert_eq!(call(&mut breaker, Class::Failure, &outcome, at(0)), None);
        assert!(call(&mut breaker, Class::Failure, &outcome, at(0)).is_some());
        assert_eq!(wait(&breaker, at(0)), wanted);
    }
}

#[test]
fn time_that_stands_still_or_steps_back_ends_no_wait_and_prolongs_none() {
    let mut breaker = breaker(&steady());
    for _ in 0..5 {
        fail(&mut breaker, at(100));
    }
    for _ in 0..1_000 {
        assert!(breaker.enter(at(100)).0.is_err());
    }
    assert_eq!(breaker.check(at(0)), breaker.check(at(100)), "an earlier moment counts as the latest");
    assert!(breaker.enter(at(0)).0.is_err() && breaker.advance(at(0)).is_none());
    let (probe, _) = breaker.enter(at(160));
    assert!(probe.expect("its time is over").is_probe());
    assert_eq!((breaker.enter(at(0)).0.is_ok(), breaker.enter(at(0)).0.is_ok()), (true, false), "two probes in all");
    assert!(breaker.enter(at(219)).0.is_err());
    assert!(breaker.enter(at(220)).0.is_ok(), "and both lose their slots a minute after the first came");
}

#[test]
fn an_override_holds_through_everything_but_a_reset() {
    let mut breaker = breaker(&steady());
    let transition = breaker.override_with(Override::ForcedOpen).expect("it is new");
    let wanted = (BreakerState::Closed, BreakerState::Open, 2, Cause::ForcedOpen);
    let Transition { from, to, generation, cause, .. } = transition;
    assert_eq!((from, to, generation, cause), wanted);
    assert_eq!(breaker.override_with(Override::ForcedOpen), None);
    assert!(breaker.advance(at(1_000_000)).is_none() && breaker.next_due().is_none());
    assert_eq!(wait(&breaker, at(1_000_000)), MINUTE);
    for manual in [Override::ForcedClosed, Override::Disabled] {
        assert!(breaker.override_with(manual).is_some());
        let clear = breaker.clear_generation();
        assert_eq!(clear, Some(breaker.view().generation));
        for _ in 0..20 {
            assert_eq!(fail(&mut breaker, at(1_000_000)), None);
        }
        assert_eq!((breaker.view().manual, breaker.clear_generation()), (Some(manual), clear));
    }
    let Transition { from, to, generation, cause, .. } = breaker.reset();
    assert_eq!((from, to, generation, cause), (BreakerState::Closed, BreakerState::Closed, 5, Cause::Reset));
    assert!(breaker.is_blank());
}

#[test]
fn a_call_from_before_a_reset_counts_nowhere() {
    let mut breaker = breaker(&BreakerFields { failure_threshold: Some(1), ..steady() });
    let (admission, _) = breaker.enter(at(0));
    breaker.reset();
    let late = breaker.record(admission.expect("it is closed"), Class::Failure, &Outcome::default(), at(0), 0);
    assert_eq!((late, breaker.state()), (None, BreakerState::Closed));
}

#[test]
fn only_a_breaker_with_nothing_to_count_is_clear() {
    let mut plain = breaker(&steady());
    assert_eq!(plain.clear_generation(), Some(1));
    fail(&mut plain, at(0));
    assert_eq!((plain.clear_generation(), plain.is_blank()), (None, false));
    succeed(&mut plain, at(0));
    assert_eq!((plain.clear_generation(), plain.is_blank()), (Some(1), true));
    let mut with_window =
        breaker(&BreakerFields { failure_rate_percent: Some(50), window_seconds: Some(10), ..steady() });
    assert_eq!((with_window.clear_generation(), with_window.is_blank()), (None, true));
    succeed(&mut with_window, at(0));
    assert!(!with_window.is_blank());
    with_window.advance(at(11));
    assert!(with_window.is_blank(), "what it counted is over");
}
