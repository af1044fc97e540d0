//! Many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tollgate::policy::{BreakerFields, BreakerState};

use super::{fail, start, steady};
use crate::support::within;

const CALLERS: usize = 10_000;
const PROBES: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_callers_at_the_half_open_instant_get_exactly_the_probes_there_are() {
    let fields = BreakerFields { timeout_ms: Some(50), half_open_max_probes: Some(PROBES), ..steady() };
    let (tollgate, breaker) = start(fields).await;
    fail(&breaker, 5);
    let (is_over, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // They begin while it is open, and go on until some time after.
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (breaker, is_over, tries) = (breaker.clone(), Arc::clone(&is_over), Arc::clone(&tries));
            tokio::spawn(async move {
                loop {
                    let answer = breaker.try_enter();
                    tries.fetch_add(1, Ordering::Relaxed);
                    if answer.is_ok() || is_over.load(Ordering::Acquire) {
                        return answer.ok();
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    within(60, async {
        while breaker.view().state != BreakerState::HalfOpen || tries.load(Ordering::Relaxed) < 10 * CALLERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    is_over.store(true, Ordering::Release);
    let mut probes = Vec::new();
    for caller in callers {
        probes.extend(within(10, caller).await.expect("it did not panic"));
    }
    assert_eq!((probes.len() as u64, breaker.view().probes), (PROBES, 7));
    probes.into_iter().for_each(|probe| probe.success());
    assert_eq!(breaker.view().state, BreakerState::Closed);
    tollgate.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_callers_that_fail_together_exactly_one_opens_it() {
    let (tollgate, breaker) = start(steady()).await;
    let mut transitions = tollgate.breaker_transitions();
    let permits: Vec<_> = (0..1_000).map(|_| breaker.try_enter().expect("it is closed")).collect();
    let failing: Vec<_> = permits.into_iter().map(|permit| tokio::spawn(async move { permit.failure() })).collect();
    for failing in failing {
        within(10, failing).await.expect("it did not panic");
    }
    assert_eq!(super::causes(&mut transitions), [tollgate::policy::Cause::ConsecutiveFailures]);
    assert_eq!((breaker.view().opened_total, breaker.view().generation), (1, 2));
    tollgate.shutdown().await;
}
