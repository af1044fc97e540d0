//! By message, and when actors die.

use std::time::Duration;

use ractor::{ActorCell, ActorRef, RpcReplyPort, call};
use tollgate::actors::{CallError, CircuitBreakerMessage};
use tollgate::policy::{
    BreakerFields, BreakerState, CallReport, Cause, Class, Fault, Moment, Outcome, Override, PermitId,
};
use tollgate::{Breaker, Tollgate};

use super::{OPEN_TIME, causes, fail, name, start, steady};
use crate::support::{sleep_ms, within};

const HOUR: Duration = Duration::from_secs(3_600);

fn actor(tollgate: &Tollgate) -> ActorRef<CircuitBreakerMessage> {
    tollgate.circuit_breaker_actor(&name("upstream")).expect("it runs")
}

#[expect(clippy::disallowed_methods, reason = "kills actors from outside, as nobody else does")]
fn cell(tollgate: &Tollgate, actor: &str) -> Option<ActorCell> {
    ractor::registry::where_is(format!("{}/{actor}", tollgate.status().name))
}

/// Kills an actor, and waits for the next incarnation.
async fn kill(tollgate: &Tollgate, actor: &str) {
    let victim = cell(tollgate, actor).expect("it runs");
    victim.kill();
    while cell(tollgate, actor).is_none_or(|next| next.get_id() == victim.get_id()) {
        sleep_ms(1).await;
    }
}

async fn answers(tollgate: &Tollgate, breaker: &Breaker) -> bool {
    let Some(actor) = tollgate.circuit_breaker_actor(breaker.name()) else { return false };
    call!(actor, CircuitBreakerMessage::View).is_ok()
}

async fn allow(tollgate: &Tollgate) -> PermitId {
    call!(actor(tollgate), CircuitBreakerMessage::Allow).expect("answered").expect("it is let through")
}

async fn record(tollgate: &Tollgate, permit: PermitId, class: Class) -> bool {
    call!(actor(tollgate), CircuitBreakerMessage::Record, permit, class, Outcome::default()).expect("answered")
}

async fn half_open(fields: BreakerFields) -> (Tollgate, Breaker) {
    let (tollgate, breaker) = start(fields).await;
    fail(&breaker, 5);
    tokio::time::sleep(OPEN_TIME).await;
    (tollgate, breaker)
}

#[tokio::test(start_paused = true)]
async fn all_of_it_can_be_done_by_message() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let actor = actor(&tollgate);
        let mut transitions = call!(actor, CircuitBreakerMessage::Subscribe).expect("answered");
        for _ in 0..5 {
            let permit = allow(&tollgate).await;
            assert!(record(&tollgate, permit, Class::Failure).await);
        }
        let refused = call!(actor, CircuitBreakerMessage::Allow).expect("answered").expect_err("it is open");
        assert_eq!(refused.retry_after, OPEN_TIME);
        tokio::time::sleep(OPEN_TIME).await;
        for _ in 0..2 {
            let permit = allow(&tollgate).await;
            assert!(record(&tollgate, permit, Class::Success).await);
        }
        call!(actor, CircuitBreakerMessage::ForceOpen).expect("answered");
        call!(actor, CircuitBreakerMessage::ForceClosed).expect("answered");
        call!(actor, CircuitBreakerMessage::Disable).expect("answered");
        let view = call!(actor, CircuitBreakerMessage::View).expect("answered");
        assert_eq!((view.manual, &view), (Some(Override::Disabled), &breaker.view()));
        call!(actor, CircuitBreakerMessage::Reset).expect("answered");
        use Cause::{ConsecutiveFailures, Disabled, ForcedClosed, ForcedOpen, OpenTimeOver, ProbesSucceeded, Reset};
        let by_itself = [ConsecutiveFailures, OpenTimeOver, ProbesSucceeded];
        let wanted: Vec<_> = by_itself.into_iter().chain([ForcedOpen, ForcedClosed, Disabled, Reset]).collect();
        assert_eq!(causes(&mut transitions), wanted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_told_twice_counts_once() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        for _ in 0..3 {
            let permit = allow(&tollgate).await;
            assert!(record(&tollgate, permit, Class::Failure).await);
            assert!(!record(&tollgate, permit, Class::Failure).await);
            let success = CallReport::new(Outcome::success());
            assert!(!tollgate.record_issued(&breaker, permit, &success));
        }
        assert_eq!(breaker.view().consecutive_failures, 3);
        let unknown = PermitId::parse("00000000000000ff").expect("16 digits");
        assert!(!record(&tollgate, unknown, Class::Failure).await);
        assert_eq!(breaker.view().consecutive_failures, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_comes_after_an_hour_counts_nowhere() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let (in_time, late) = (allow(&tollgate).await, breaker.issue_permit().expect("it is closed"));
        tokio::time::sleep(HOUR - Duration::from_millis(2)).await;
        assert!(record(&tollgate, in_time, Class::Failure).await);
        sleep_ms(2).await;
        assert!(!record(&tollgate, late, Class::Failure).await);
        assert_eq!(breaker.view().consecutive_failures, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_more_numbers_than_there_may_be_the_oldest_goes() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let failure = CallReport::new(Outcome::failed(Fault::Timeout));
        let permits: Vec<_> = (0..10_001).map(|_| breaker.issue_permit().expect("it is closed")).collect();
        assert!(!tollgate.record_issued(&breaker, permits[0], &failure));
        assert!(tollgate.record_issued(&breaker, permits[1], &failure));
        assert_eq!(breaker.view().consecutive_failures, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_whose_caller_is_gone_is_given_back() {
    within(100_000, async {
        let (tollgate, breaker) = half_open(steady()).await;
        let (reply, receiver) = ractor::concurrency::oneshot();
        drop(receiver);
        let message = CircuitBreakerMessage::Allow(RpcReplyPort::from(reply));
        actor(&tollgate).cast(message).expect("sent");
        let view = call!(actor(&tollgate), CircuitBreakerMessage::View).expect("answered");
        assert_eq!((view.state, view.probes, breaker.view().generation), (BreakerState::HalfOpen, 0, view.generation));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slow_calls_by_message_are_timed_from_their_permit() {
    within(100_000, async {
        let slow = BreakerFields {
            slow_call_ms: Some(1_000),
            slow_call_rate_percent: Some(100),
            window_calls: Some(1),
            ..steady()
        };
        let (tollgate, breaker) = start(slow).await;
        let permit = allow(&tollgate).await;
        sleep_ms(1_000).await;
        assert!(record(&tollgate, permit, Class::Success).await);
        assert_eq!((breaker.view().state, breaker.view().cause), (BreakerState::Open, Some(Cause::SlowCallRate)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_killed_while_probes_are_out_comes_back_to_all_of_it() {
    within(100_000, async {
        let (tollgate, breaker) = half_open(steady()).await;
        let (by_message, in_hand) = (allow(&tollgate).await, breaker.try_enter().expect("a probe"));
        let before = breaker.view();
        assert_eq!((before.state, before.probes), (BreakerState::HalfOpen, 2));
        kill(&tollgate, "circuit_breaker/upstream").await;
        assert_eq!(breaker.view(), before);
        assert!(breaker.check().is_err());
        assert!(record(&tollgate, by_message, Class::Success).await);
        in_hand.success();
        assert_eq!((breaker.view().state, breaker.view().generation), (BreakerState::Closed, before.generation + 1));
        breaker.force_open().await.expect("it takes commands");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_actor_the_fifth_failure_opens_it_and_the_next_actor_makes_it_half_open_in_time() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let mut transitions = tollgate.breaker_transitions();
        let started_at = tollgate.now();
        cell(&tollgate, "circuit_breaker/upstream").expect("it runs").kill();
        fail(&breaker, 5);
        assert_eq!(breaker.try_enter().expect_err("it is open").retry_after, OPEN_TIME);
        assert_eq!(transitions.recv().await.map(|transition| transition.to), Ok(BreakerState::Open));
        assert_eq!(transitions.recv().await.map(|transition| transition.to), Ok(BreakerState::HalfOpen));
        assert_eq!(tollgate.now().since(started_at), OPEN_TIME);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn probes_that_all_vanish_with_their_actor_keep_nobody_out() {
    within(100_000, async {
        let (tollgate, breaker) = half_open(steady()).await;
        for _ in 0..2 {
            allow(&tollgate).await;
        }
        kill(&tollgate, "circuit_breaker/upstream").await;
        assert!(breaker.check().is_err());
        let out_at = tollgate.now();
        while breaker.check().is_err() {
            sleep_ms(100).await;
        }
        assert!(tollgate.now().since(out_at) <= OPEN_TIME, "the time of a probe");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_ends_nothing() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        fail(&breaker, 5);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            assert_eq!(breaker.try_enter().expect_err("it is open").retry_after, OPEN_TIME);
        }
        assert_eq!(tollgate.now(), Moment::START);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn breakers_outlive_their_supervisor() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        fail(&breaker, 3);
        cell(&tollgate, "breakers").expect("it runs").kill();
        let made_meanwhile = tollgate.breaker(&name("second")).expect("there is room");
        fail(&breaker, 1);
        for breaker in [&breaker, &made_meanwhile] {
            while !answers(&tollgate, breaker).await {
                sleep_ms(1).await;
            }
        }
        assert_eq!(breaker.view().consecutive_failures, 4);
        fail(&breaker, 1);
        made_meanwhile.force_open().await.expect("it takes commands");
        assert!(breaker.check().is_err() && made_meanwhile.check().is_err());
        let status = tollgate.status().actors;
        let part = status.children.iter().find(|part| part.name.ends_with("/breakers")).expect("it is shown");
        assert_eq!((part.restarts, part.children.len(), part.state), (1, 2, "running"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_dies_again_and_again_ends_its_supervisor_which_is_started_again() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        fail(&breaker, 1);
        let restarts = || {
            let status = tollgate.status().actors;
            status.children.iter().find(|part| part.name.ends_with("/breakers")).expect("it is shown").restarts
        };
        while restarts() == 0 {
            if let Some(actor) = cell(&tollgate, "circuit_breaker/upstream") {
                actor.kill();
            }
            sleep_ms(1).await;
        }
        breaker.force_open().await.expect("it takes commands");
        breaker.reset().await.expect("it takes commands");
        assert_eq!(tollgate.status().state, "running");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_a_breaker_still_decides_and_takes_no_commands() {
    within(100_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let permit = breaker.try_enter().expect("it is closed");
        tollgate.shutdown().await;
        assert!(tollgate.circuit_breaker_actor(&name("upstream")).is_none());
        assert!(cell(&tollgate, "circuit_breaker/upstream").is_none() && cell(&tollgate, "breakers").is_none());
        permit.failure();
        fail(&breaker, 4);
        assert!(breaker.check().is_err());
        tokio::time::sleep(OPEN_TIME).await;
        assert!(breaker.try_enter().is_ok(), "nobody has made it half open before");
        assert_eq!(breaker.force_open().await, Err(CallError::NotRunning));
    })
    .await;
}
