//! Through the handle: entering, reporting, dropping, and what a person decides.

use std::time::Duration;

use tollgate::policy::{BreakerFields, BreakerState, Cause, Class, Outcome, Override};

use super::{OPEN_TIME, causes, fail, start, steady};
use crate::support::{sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn the_fifth_failure_in_a_row_opens_it_at_once() {
    within(1_000, async {
        let (_tollgate, breaker) = start(steady()).await;
        fail(&breaker, 4);
        breaker.try_enter().expect("a success in between ends the row").success();
        fail(&breaker, 4);
        assert!(breaker.check().is_ok());
        fail(&breaker, 1);
        let refusal = breaker.try_enter().expect_err("it is open");
        assert_eq!((refusal.retry_after, &refusal.name), (OPEN_TIME, breaker.name()));
        assert_eq!(breaker.check(), Err(refusal));
        assert_eq!(breaker.view().rejected_total, 1, "checking counts as no call");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscribers_see_it_open_half_open_and_close_in_order() {
    within(1_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let mut transitions = tollgate.breaker_transitions();
        fail(&breaker, 5);
        let opened = transitions.recv().await.expect("it is told");
        assert_eq!((opened.from, opened.to, opened.generation), (BreakerState::Closed, BreakerState::Open, 2));
        let half_open = transitions.recv().await.expect("the actor makes it half open, though nobody calls");
        assert_eq!((half_open.to, half_open.cause), (BreakerState::HalfOpen, Cause::OpenTimeOver));
        assert_eq!(tollgate.now().since(tollgate::policy::Moment::START), OPEN_TIME, "at its instant");
        let probes = [0; 2].map(|_| breaker.try_enter().expect("a probe"));
        let refusal = breaker.try_enter().expect_err("all probes are out");
        assert_eq!(refusal.retry_after, Duration::from_secs(1));
        probes.into_iter().for_each(|probe| probe.success());
        let closed = transitions.recv().await.expect("it is told");
        assert_eq!((closed.from, closed.to, closed.generation), (BreakerState::HalfOpen, BreakerState::Closed, 4));
        assert_eq!(closed.name, *breaker.name());
        assert!(transitions.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_tells_nothing_and_gives_its_slot_back() {
    within(1_000, async {
        let (_tollgate, breaker) = start(steady()).await;
        fail(&breaker, 5);
        tokio::time::sleep(OPEN_TIME).await;
        for _ in 0..10 {
            let probes = [0; 2].map(|_| breaker.try_enter().expect("a probe"));
            assert!(breaker.try_enter().is_err());
            drop(probes);
        }
        let view = breaker.view();
        assert_eq!((view.state, view.probes, view.probe_successes), (BreakerState::HalfOpen, 0, 0));
        let cancelled = tokio::spawn({
            let probe = breaker.try_enter().expect("a probe");
            async move {
                let _probe = probe;
                std::future::pending::<()>().await;
            }
        });
        sleep_ms(1).await;
        assert_eq!(breaker.view().probes, 1);
        cancelled.abort();
        assert!(cancelled.await.is_err());
        assert_eq!(breaker.view().probes, 0);
        breaker.try_enter().expect("a probe").record(Class::Neutral, &Outcome::of_status(429));
        assert_eq!((breaker.view().probes, breaker.view().probe_successes), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_slot_of_a_probe_that_takes_too_long_frees_by_itself_and_its_late_report_counts() {
    within(1_000, async {
        let (_tollgate, breaker) = start(BreakerFields { probe_timeout_ms: Some(30_000), ..steady() }).await;
        fail(&breaker, 5);
        tokio::time::sleep(OPEN_TIME).await;
        let mut late = Vec::new();
        for _ in 0..3 {
            late.extend([0; 2].map(|_| breaker.try_enter().expect("a probe")));
            assert!(breaker.try_enter().is_err());
            sleep_ms(29_999).await;
            assert!(breaker.check().is_err());
            sleep_ms(1).await;
            assert!(breaker.check().is_ok());
        }
        assert_eq!(breaker.view().probes, 0);
        drop(late.pop());
        late.pop().expect("a probe").success();
        assert_eq!((breaker.view().state, breaker.view().probe_successes), (BreakerState::HalfOpen, 1));
        late.pop().expect("a probe").success();
        assert_eq!(breaker.view().state, BreakerState::Closed, "where every call is so slow, it must close too");
        late.pop().expect("a probe").failure();
        assert_eq!(breaker.view().consecutive_failures, 0, "of a generation that is over");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_longer_than_they_keep_their_slots_open_it_again_once() {
    within(1_000, async {
        let (_tollgate, breaker) = start(BreakerFields { probe_timeout_ms: Some(30_000), ..steady() }).await;
        fail(&breaker, 5);
        tokio::time::sleep(OPEN_TIME).await;
        let [hung, another] = [0; 2].map(|_| breaker.try_enter().expect("a probe"));
        sleep_ms(45_000).await;
        hung.failure();
        assert_eq!(breaker.check().expect_err("it is open").retry_after, 2 * OPEN_TIME);
        another.failure();
        assert_eq!((breaker.view().opened_total, breaker.view().openings_in_a_row), (2, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_an_older_generation_counts_nowhere() {
    within(1_000, async {
        let (_tollgate, breaker) = start(steady()).await;
        let mut old: Vec<_> = (0..20).map(|_| breaker.try_enter().expect("it is closed")).collect();
        old.drain(..5).for_each(|permit| permit.failure());
        let opened = breaker.view();
        old.drain(..5).for_each(|permit| permit.failure());
        assert_eq!(breaker.view(), opened, "neither opened again nor for longer");
        tokio::time::sleep(OPEN_TIME).await;
        old.drain(..5).for_each(|permit| permit.success());
        assert_eq!((breaker.view().state, breaker.view().probe_successes), (BreakerState::HalfOpen, 0));
        for _ in 0..2 {
            breaker.try_enter().expect("a probe").success();
        }
        old.into_iter().for_each(|permit| permit.failure());
        assert_eq!((breaker.view().state, breaker.view().consecutive_failures), (BreakerState::Closed, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_it_for_twice_as_long_and_at_least_as_long_as_the_upstream_asks() {
    within(10_000, async {
        let (_tollgate, breaker) = start(steady()).await;
        fail(&breaker, 5);
        tokio::time::sleep(OPEN_TIME).await;
        fail(&breaker, 1);
        assert_eq!(breaker.check().expect_err("it is open").retry_after, 2 * OPEN_TIME);
        tokio::time::sleep(2 * OPEN_TIME).await;
        let asked = Outcome { retry_after: Some(Duration::from_secs(1_000)), ..Outcome::of_status(503) };
        breaker.try_enter().expect("a probe").record(Class::Failure, &asked);
        assert_eq!(breaker.check().expect_err("it is open").retry_after, Duration::from_secs(1_000));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_person_decides_until_it_is_reset() {
    within(10_000, async {
        let (tollgate, breaker) = start(steady()).await;
        let mut transitions = tollgate.breaker_transitions();
        breaker.force_open().await.expect("it is done");
        tokio::time::sleep(10 * OPEN_TIME).await;
        assert_eq!(breaker.try_enter().expect_err("it is forced open").retry_after, OPEN_TIME);
        assert_eq!((breaker.view().state, breaker.view().manual), (BreakerState::Open, Some(Override::ForcedOpen)));
        breaker.force_closed().await.expect("it is done");
        fail(&breaker, 20);
        assert!(breaker.check().is_ok());
        breaker.disable().await.expect("it is done");
        breaker.disable().await.expect("it is done already");
        fail(&breaker, 20);
        assert_eq!((breaker.view().state, breaker.view().manual), (BreakerState::Closed, Some(Override::Disabled)));
        breaker.reset().await.expect("it is done");
        assert_eq!(breaker.view().consecutive_failures, 0);
        fail(&breaker, 5);
        assert!(breaker.check().is_err(), "it goes by itself again");
        breaker.reset().await.expect("it is done");
        assert_eq!((breaker.view().state, breaker.view().openings_in_a_row), (BreakerState::Closed, 0));
        use Cause::{ConsecutiveFailures, Disabled, ForcedClosed, ForcedOpen, Reset};
        let wanted = [ForcedOpen, ForcedClosed, Disabled, Reset, ConsecutiveFailures, Reset];
        assert_eq!(causes(&mut transitions), wanted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_and_the_permit_takes_the_time_itself() {
    within(1_000, async {
        let slow = BreakerFields {
            slow_call_ms: Some(2_000),
            slow_call_rate_percent: Some(50),
            window_calls: Some(4),
            minimum_calls: Some(4),
            ..steady()
        };
        let (tollgate, breaker) = start(slow).await;
        let mut transitions = tollgate.breaker_transitions();
        for latency_ms in [1_999, 2_000, 0] {
            let permit = breaker.try_enter().expect("it is closed");
            sleep_ms(latency_ms).await;
            permit.success();
        }
        assert_eq!((breaker.view().window_calls, breaker.view().window_slow_calls), (3, 1));
        let told = Outcome { latency: Some(Duration::from_secs(2)), ..Outcome::success() };
        breaker.try_enter().expect("it is closed").record(Class::Success, &told);
        assert_eq!(causes(&mut transitions), [Cause::SlowCallRate]);
        tokio::time::sleep(OPEN_TIME).await;
        breaker.try_enter().expect("a probe").record(Class::Success, &told);
        assert_eq!(causes(&mut transitions), [Cause::OpenTimeOver, Cause::ProbeFailed]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_holds_a_permit_frees_the_slot() {
    within(1_000, async {
        let (_tollgate, breaker) = start(steady()).await;
        fail(&breaker, 5);
        tokio::time::sleep(OPEN_TIME).await;
        let probe = breaker.try_enter().expect("a probe");
        let panicked = tokio::spawn(async move {
            let _probe = probe;
            panic!("the call went wrong");
        });
        assert!(panicked.await.is_err_and(|error| error.is_panic()));
        assert_eq!(breaker.view().probes, 0);
    })
    .await;
}
