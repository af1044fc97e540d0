//! The same calls told of many times at once: each counts once, and keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tollgate::policy::{
    Amounts, BreakerFields, BreakerName, BreakerSettings, BreakerState, CallReport, Complete, LeaseId, Outcome, Reserve,
};
use tollgate::{Breaker, Tollgate, Wait};

use crate::support::place::Place;
use crate::support::{self, concurrency, within};

const AT_ONCE: usize = 4;

/// How many calls each task makes: where each takes round trips, a few.
fn calls(place: &Place) -> u64 {
    if place.differs.is_exact() { 1_000 } else { 100 }
}

/// A Tollgate with the breaker `up`, and room for every call, or for one at once.
async fn start(place: &Place, fields: BreakerFields) -> (Tollgate, BreakerName) {
    let name = BreakerName::parse("up").expect("a good name");
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    let builder = place.builder().breaker(name.clone(), settings);
    let builder = builder.limit_fields(concurrency("calls", 100_000, 600)).limit_fields(concurrency("narrow", 1, 600));
    (builder.start().await.expect("it starts"), name)
}

/// The same, when the breaker has opened and lets so many probes through at once; only 10 000 successes close it.
async fn start_probing(place: &Place, probes: u64) -> (Tollgate, BreakerName, Breaker) {
    let probing = BreakerFields {
        failure_threshold: Some(1),
        timeout_ms: Some(1),
        half_open_max_probes: Some(probes),
        success_threshold: Some(10_000),
        ..BreakerFields::default()
    };
    let (tollgate, name) = start(place, probing).await;
    let breaker = tollgate.find_breaker(&name).expect("it is there");
    breaker.try_enter().expect("it is closed").failure();
    tokio::time::sleep(Duration::from_millis(5)).await;
    (tollgate, name, breaker)
}

/// Does the same in several tasks at once.
async fn together<F: Future<Output = ()> + Send + 'static>(work: impl Fn(usize) -> F) {
    let tasks: Vec<_> = (0..AT_ONCE).map(|n| tokio::spawn(work(n))).collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

fn request(id: LeaseId, name: &BreakerName) -> Reserve {
    Reserve { lease_id: id, ..support::request(&[("calls", 1)]) }.through(name.clone())
}

pub(crate) async fn a_call_that_is_reserved_and_finished_by_many_at_once_counts_once(place: Place) {
    let counting = BreakerFields {
        failure_rate_percent: Some(100),
        window_calls: Some(10_000),
        minimum_calls: Some(10_000),
        ..BreakerFields::default()
    };
    let (tollgate, name) = start(&place, counting).await;
    let calls = calls(&place);
    let ids: Arc<Vec<LeaseId>> = Arc::new((0..calls).map(|_| LeaseId::generate()).collect());
    let reserved = Arc::new(Barrier::new(AT_ONCE));
    together(|_| {
        let (tollgate, name, ids, reserved) = (tollgate.clone(), name.clone(), ids.clone(), reserved.clone());
        async move {
            for id in ids.iter() {
                let lease = tollgate.reserve(request(*id, &name)).await.expect("there is room");
                let _ = lease.detach();
            }
            reserved.wait().await;
            for id in ids.iter() {
                let complete = Complete { lease_id: *id, actuals: Amounts::default() };
                let report = CallReport::new(Outcome::of_status(500));
                tollgate.finish(complete, &report).await.expect("it ends");
            }
        }
    })
    .await;
    let view = tollgate.find_breaker(&name).expect("it is there").view();
    assert_eq!((view.window_calls, view.window_failures), (calls, calls));
}

pub(crate) async fn probes_that_are_reserved_again_cancelled_and_finished_at_random_keep_no_slot(place: Place) {
    let (tollgate, name, breaker) = start_probing(&place, 3).await;
    let calls = calls(&place) * 5;
    together(|n| {
        let (tollgate, name, breaker) = (tollgate.clone(), name.clone(), breaker.clone());
        async move {
            let mut random = fastrand::Rng::with_seed(n as u64);
            for _ in 0..calls {
                assert!(breaker.view().probes <= 3);
                let id = LeaseId::generate();
                let Ok(lease) = tollgate.reserve(request(id, &name)).await else { continue };
                let complete = Complete { lease_id: id, actuals: Amounts::default() };
                match random.u32(0..5) {
                    0 => drop(lease),
                    1 => {
                        lease.finish(Amounts::default(), &CallReport::new(Outcome::of_status(429))).await.expect("ends")
                    }
                    2 => {
                        let _ = lease.detach();
                        let again = tollgate.reserve(request(id, &name)).await.expect("the same lease");
                        let _ = again.detach();
                        tollgate.complete(complete).await.expect("it ends");
                    }
                    3 => {
                        let _ = lease.detach();
                        let report = CallReport::new(Outcome::success());
                        let (one, other) =
                            tokio::join!(tollgate.finish(complete.clone(), &report), tollgate.complete(complete));
                        one.and(other).expect("it ends");
                    }
                    _ => {
                        let permit = breaker.issue_permit();
                        drop(lease);
                        if let Ok(permit) = permit {
                            let report = CallReport::new(Outcome::of_status(404));
                            assert!(tollgate.record_issued(&breaker, permit, &report));
                        }
                    }
                }
            }
        }
    })
    .await;
    let view = breaker.view();
    assert_eq!((view.state, view.probes), (BreakerState::HalfOpen, 0));
    assert!(view.probe_successes > 0);
}

pub(crate) async fn calls_that_are_dropped_while_they_wait_or_run_keep_neither_probe_nor_slot(place: Place) {
    let (tollgate, name, breaker) = start_probing(&place, 1).await;
    // Where a call takes round trips, it has time for some of them, however long they take on this machine.
    let began = tollgate.now();
    let lease = tollgate.reserve(support::request(&[("narrow", 1)])).await.expect("there is room");
    lease.complete(Amounts::default()).await.expect("it ends");
    let took_ms = tollgate.now().since(began).as_millis() as u32;
    let (calls, round_trips) = (calls(&place), if place.differs.is_exact() { 1 } else { 20.max(4 * took_ms) });
    together(|n| {
        let (tollgate, name) = (tollgate.clone(), name.clone());
        async move {
            let mut random = fastrand::Rng::with_seed(n as u64);
            for _ in 0..calls {
                let id = LeaseId::generate();
                let request = Reserve { lease_id: id, ..support::request(&[("narrow", 1)]) }.through(name.clone());
                let wait = Wait::at_most(Duration::from_millis(3) * round_trips);
                let time = Duration::from_micros(random.u64(0..2_000)) * round_trips;
                let call = async {
                    let lease = tollgate.acquire(request, wait).await.ok()?;
                    tokio::time::sleep(time / 4).await;
                    lease.finish(Amounts::default(), &CallReport::new(Outcome::success())).await.ok()
                };
                let _ = tokio::time::timeout(time, call).await;
            }
        }
    })
    .await;
    let free = async {
        let usage = async || tollgate.usage(&support::key("narrow")).await.expect("it answers").expect("a limit");
        while tollgate.waiting() != 0 || usage().await.usage.available != 1 || breaker.view().probes != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(20, free).await;
    assert!(breaker.view().probe_successes > 0);
}
