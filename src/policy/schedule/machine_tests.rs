//! Whose turn it is, and what ends a job.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::policy::{Label, LeaseId, Moment, Priority, Turns};

type Jobs = Schedule<Arc<JobSpec>>;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Moment {
    Moment::START.after(seconds as u32 * SECOND)
}

fn label(text: &str) -> Label {
    Label::parse(text).expect("a good label")
}

fn spec(id: &str, provider: &str) -> JobSpec {
    let upstream = Upstream::parse(provider, "model").expect("good names");
    let (tenant, priority) = (None, Priority::Normal);
    JobSpec { id: label(id), upstream, tenant, priority, deadline: at(3_600), attempts_max: None }
}

fn of_tenant(id: &str, tenant: &str) -> JobSpec {
    JobSpec { tenant: Some(label(tenant)), ..spec(id, "a") }
}

fn urgent(id: &str, priority: Priority) -> JobSpec {
    JobSpec { priority, ..spec(id, "a") }
}

fn schedule(bounds: ScheduleBounds) -> Jobs {
    Schedule::new(bounds, Turns::default())
}

fn submit(schedule: &mut Jobs, spec: JobSpec) {
    schedule.submit(Arc::new(spec), at(0)).expect("it is taken in");
}

fn next(schedule: &mut Jobs, now: Moment) -> Turn<Arc<JobSpec>> {
    match schedule.step(now) {
        Step::Try(turn) => turn,
        other => panic!("a turn, and not {other:?}"),
    }
}

/// Who is tried, one after the other, where each is granted and ends at once.
fn served(schedule: &mut Jobs, now: Moment) -> Vec<String> {
    let mut served = Vec::new();
    while let Step::Try(turn) = schedule.step(now) {
        served.push(turn.job.id.as_str().to_owned());
        schedule.granted(&turn.held);
        schedule.end(turn.held, true);
    }
    served
}

fn denied(after: Duration, at_least: Duration) -> Deferral {
    Deferral::NewLease { after, at_least }
}

fn expect_waiting(deferred: Deferred<Arc<JobSpec>>) {
    assert!(matches!(deferred, Deferred::Waiting), "{deferred:?}");
}

#[test]
fn queues_take_turns_and_one_that_was_denied_waits_alone() {
    let mut schedule = schedule(ScheduleBounds::default());
    for id in ["a1", "a2", "b1", "b2", "c1"] {
        submit(&mut schedule, spec(id, &id[..1]));
    }
    let turn = next(&mut schedule, at(0));
    assert_eq!((turn.job.id.as_str(), turn.attempt), ("a1", 1));
    expect_waiting(schedule.defer(turn.held, denied(5 * SECOND, 5 * SECOND), at(0)));
    assert_eq!(served(&mut schedule, at(4)), ["b1", "c1", "b2"]);
    assert!(matches!(schedule.step(at(4)), Step::Wait(Some(until)) if until == at(5)));
    let again = next(&mut schedule, at(5));
    assert_eq!((again.job.id.as_str(), again.attempt, again.in_doubt), ("a1", 2, None));
    schedule.end(again.held, false);
    assert_eq!(served(&mut schedule, at(5)), ["a2"]);
    assert!(schedule.is_empty() && schedule.queues().next().is_none());
}

#[test]
fn after_an_unknown_answer_the_same_lease_is_asked_for_and_it_counts_as_one_attempt() {
    let mut schedule = schedule(ScheduleBounds::default());
    submit(&mut schedule, JobSpec { attempts_max: NonZeroU32::new(1), ..spec("a", "a") });
    let lease_id = LeaseId::from(7);
    for unknowns in 0..3 {
        let turn = next(&mut schedule, at(unknowns.into()));
        assert_eq!((turn.attempt, turn.unknowns, turn.in_doubt), (1, unknowns, (unknowns != 0).then_some(lease_id)));
        let deferral = Deferral::SameLease { lease_id, after: SECOND };
        expect_waiting(schedule.defer(turn.held, deferral, at(unknowns.into())));
    }
    let Some(Cancelled::Waiting(ended)) = schedule.cancel(&label("a")) else { panic!("it waits") };
    assert_eq!(ended.in_doubt, Some(lease_id), "to be given back");
}

#[test]
fn a_job_makes_as_many_attempts_as_it_may() {
    let mut schedule = schedule(ScheduleBounds::default());
    submit(&mut schedule, JobSpec { attempts_max: NonZeroU32::new(2), ..spec("a", "a") });
    let turn = next(&mut schedule, at(0));
    expect_waiting(schedule.defer(turn.held, denied(SECOND, SECOND), at(0)));
    let turn = next(&mut schedule, at(1));
    assert!(matches!(schedule.defer(turn.held, denied(SECOND, SECOND), at(1)), Deferred::Exhausted(_)));
    assert!(schedule.is_empty());
}

#[test]
fn a_completed_lease_ends_the_pause_that_it_may_end() {
    let mut schedule = schedule(ScheduleBounds::default());
    for id in ["a1", "a2", "a3"] {
        submit(&mut schedule, spec(id, "a"));
    }
    let running = next(&mut schedule, at(0));
    schedule.granted(&running.held);
    let turn = next(&mut schedule, at(0));
    expect_waiting(schedule.defer(turn.held, denied(100 * SECOND, 3 * SECOND), at(0)));
    assert!(matches!(schedule.step(at(1)), Step::Wait(Some(until)) if until == at(100)));
    schedule.end(running.held, true);
    assert!(matches!(schedule.step(at(1)), Step::Wait(Some(until)) if until == at(3)), "whatever completes");
    assert_eq!(next(&mut schedule, at(3)).job.id.as_str(), "a2");
}

#[test]
fn a_call_that_gave_nothing_back_ends_no_pause() {
    let mut schedule = schedule(ScheduleBounds::default());
    submit(&mut schedule, spec("a1", "a"));
    submit(&mut schedule, spec("a2", "a"));
    let running = next(&mut schedule, at(0));
    schedule.granted(&running.held);
    let turn = next(&mut schedule, at(0));
    expect_waiting(schedule.defer(turn.held, denied(100 * SECOND, Duration::ZERO), at(0)));
    schedule.end(running.held, false);
    assert!(matches!(schedule.step(at(99)), Step::Wait(Some(until)) if until == at(100)));
}

#[test]
fn tenants_take_turns_by_weight_and_one_that_was_denied_keeps_its_turn() {
    let mut turns = Turns::default();
    turns.tenant_weights.insert(label("big"), 2);
    let mut schedule = Schedule::new(ScheduleBounds::default(), turns);
    for n in 0..5 {
        submit(&mut schedule, of_tenant(&format!("big{n}"), "big"));
    }
    for n in 0..3 {
        submit(&mut schedule, of_tenant(&format!("small{n}"), "small"));
    }
    let turn = next(&mut schedule, at(0));
    assert_eq!(turn.job.id.as_str(), "big0");
    expect_waiting(schedule.defer(turn.held, denied(SECOND, SECOND), at(0)));
    let order = served(&mut schedule, at(1));
    assert_eq!(order, ["big0", "big1", "small0", "big2", "big3", "small1", "big4", "small2"]);
}

#[test]
fn a_tenant_with_many_jobs_does_not_hold_up_one_with_few() {
    let mut schedule = schedule(ScheduleBounds::default());
    for n in 0..1_000 {
        submit(&mut schedule, of_tenant(&format!("big{n}"), "big"));
    }
    submit(&mut schedule, of_tenant("small", "small"));
    assert_eq!(served(&mut schedule, at(0)).iter().position(|id| id == "small"), Some(1));
}

#[test]
fn urgent_jobs_go_first_until_others_have_waited_for_long() {
    let mut schedule = schedule(ScheduleBounds::default());
    submit(&mut schedule, urgent("low", Priority::Low));
    submit(&mut schedule, urgent("normal", Priority::Normal));
    submit(&mut schedule, urgent("high", Priority::High));
    // A step of priority is worth 30 s.
    schedule.submit(Arc::new(urgent("late", Priority::High)), at(31)).expect("it is taken in");
    schedule.submit(Arc::new(urgent("later", Priority::High)), at(61)).expect("it is taken in");
    assert_eq!(served(&mut schedule, at(61)), ["high", "normal", "late", "low", "later"]);
}

#[test]
fn what_is_full_refuses_and_says_which() {
    let mut schedule = schedule(ScheduleBounds { jobs_max: 3, jobs_per_queue_max: 2, ..ScheduleBounds::default() });
    submit(&mut schedule, spec("a1", "a"));
    submit(&mut schedule, spec("a2", "a"));
    let refusal =
        |schedule: &mut Jobs, id: &str| schedule.submit(Arc::new(spec(id, &id[..1])), at(0)).expect_err("full");
    let upstream = spec("a", "a").upstream;
    assert_eq!(refusal(&mut schedule, "a1"), ScheduleFull::DuplicateId(label("a1")));
    assert_eq!(refusal(&mut schedule, "a3"), ScheduleFull::QueueFull { upstream, jobs_per_queue_max: 2 });
    // One that is under way has its place until it has ended.
    let turn = next(&mut schedule, at(0));
    assert!(matches!(refusal(&mut schedule, "a3"), ScheduleFull::QueueFull { .. }));
    submit(&mut schedule, spec("b1", "b"));
    assert_eq!(refusal(&mut schedule, "b2"), ScheduleFull::Full { jobs_max: 3 });
    schedule.end(turn.held, false);
    submit(&mut schedule, spec("a3", "a"));
    schedule.drain();
    assert_eq!(refusal(&mut schedule, "c1"), ScheduleFull::Closed);
}

#[test]
fn who_is_too_late_ends_without_being_tried() {
    let mut schedule = schedule(ScheduleBounds::default());
    submit(&mut schedule, JobSpec { deadline: at(2), ..spec("a", "a") });
    submit(&mut schedule, JobSpec { deadline: at(1), ..spec("b", "b") });
    let Step::Expired(ended) = schedule.step(at(1)) else { panic!("b is too late") };
    assert_eq!(ended.job.id.as_str(), "b");
    let turn = next(&mut schedule, at(1));
    expect_waiting(schedule.defer(turn.held, denied(9 * SECOND, SECOND), at(1)));
    assert!(matches!(schedule.step(at(1)), Step::Wait(Some(until)) if until == at(2)), "and not in 9 s");
    assert!(matches!(schedule.step(at(2)), Step::Expired(ended) if ended.job.id.as_str() == "a"));
    assert!(matches!(schedule.step(at(2)), Step::Wait(None)));
}

#[test]
fn a_queue_is_asked_for_one_by_one_until_it_is_granted_something() {
    let bounds = ScheduleBounds { reserving_per_queue_max: 4, ..ScheduleBounds::default() };
    let mut schedule = schedule(bounds);
    for n in 0..20 {
        submit(&mut schedule, spec(&format!("a{n}"), "a"));
    }
    let all = |schedule: &mut Jobs, now| {
        let mut taken = Vec::new();
        while let Step::Try(turn) = schedule.step(now) {
            taken.push(turn.held);
        }
        taken
    };
    let mut seen = Vec::new();
    let mut held = all(&mut schedule, at(0));
    for _ in 0..3 {
        seen.push(held.len());
        let granted = held.pop().expect("one at least");
        schedule.granted(&granted);
        schedule.end(granted, true);
        held.into_iter().for_each(|held| schedule.end(held, false));
        held = all(&mut schedule, at(0));
    }
    assert_eq!(seen, [1, 2, 4]);
    let refused = held.pop().expect("one at least");
    expect_waiting(schedule.defer(refused, denied(SECOND, SECOND), at(0)));
    held.into_iter().for_each(|held| schedule.end(held, false));
    assert_eq!(all(&mut schedule, at(1)).len(), 1);
}

#[test]
fn a_provider_that_hangs_does_not_take_all_that_may_run() {
    let mut schedule =
        schedule(ScheduleBounds { running_max: 5, running_per_queue_max: 3, ..ScheduleBounds::default() });
    for n in 0..10 {
        submit(&mut schedule, spec(&format!("a{n}"), "a"));
    }
    submit(&mut schedule, spec("b0", "b"));
    let mut taken = Vec::new();
    while let Step::Try(turn) = schedule.step(at(0)) {
        schedule.granted(&turn.held);
        taken.push(turn.job.id.as_str().to_owned());
    }
    assert_eq!(taken, ["a0", "b0", "a1", "a2"]);
}

#[test]
fn who_is_cancelled_while_it_is_tried_does_not_come_back() {
    let mut schedule = schedule(ScheduleBounds::default());
    submit(&mut schedule, spec("a", "a"));
    let turn = next(&mut schedule, at(0));
    assert!(matches!(schedule.cancel(&label("a")), Some(Cancelled::UnderWay(_))));
    assert!(matches!(schedule.defer(turn.held, denied(SECOND, SECOND), at(0)), Deferred::Cancelled(_)));
    assert!(schedule.cancel(&label("a")).is_none() && schedule.is_empty());
}

#[test]
fn nobody_waits_after_the_end() {
    let mut schedule = schedule(ScheduleBounds::default());
    for id in ["a1", "a2", "b1"] {
        submit(&mut schedule, spec(id, &id[..1]));
    }
    let turn = next(&mut schedule, at(0));
    let mut dropped = 0;
    while schedule.stop().is_some() {
        dropped += 1;
    }
    assert_eq!((dropped, schedule.all_under_way().count(), schedule.len()), (2, 1, 1));
    assert!(matches!(schedule.defer(turn.held, denied(SECOND, SECOND), at(0)), Deferred::Stopped(_)));
    assert!(schedule.is_empty());
}
