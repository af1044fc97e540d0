//! Many callers at once, on real threads: exactly the capacity is admitted, and in the end nothing is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate::backends::Backend;
use tollgate::policy::{Complete, Reserve};

use super::harness::Harness;
use crate::support::{concurrency, one_of_each_kind, request, used};

const TASKS: u64 = 100;
const CALLS_PER_TASK: u64 = 100;
const CAPACITY: u64 = 1_237;

/// Runs `call` many times in many tasks, and waits for all.
async fn storm<F: Future<Output = ()> + Send>(
    ledger: &Harness,
    call: impl Fn(Arc<dyn Backend>, u64) -> F + Clone + Send + 'static,
) {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (backend, call) = (Arc::clone(&ledger.backend), call.clone());
            tokio::spawn(async move {
                for n in 0..CALLS_PER_TASK {
                    call(Arc::clone(&backend), task * CALLS_PER_TASK + n).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no call panics");
    }
}

async fn admits_exactly_the_capacity(ledger: &Harness, requirements: &'static [(&'static str, u64)]) {
    let granted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&granted);
    storm(ledger, move |backend, _| {
        let count = Arc::clone(&count);
        async move {
            let answer = backend.reserve(&request(requirements)).get().await;
            count.fetch_add(u64::from(answer.is_ok()), Ordering::Relaxed);
        }
    })
    .await;
    assert_eq!(granted.load(Ordering::Relaxed), CAPACITY, "{requirements:?}");
    for (key, _) in requirements {
        assert_eq!(ledger.available(key).await, 0, "{key}");
    }
}

pub(crate) async fn ten_thousand_callers_take_exactly_what_a_rolling_limit_has(ledger: Harness) {
    ledger.put_all(one_of_each_kind(CAPACITY, 1_000_000_000)).await;
    admits_exactly_the_capacity(&ledger, &[("rolling", 1)]).await;
}

pub(crate) async fn ten_thousand_callers_take_exactly_what_a_concurrency_limit_has(ledger: Harness) {
    ledger.put_all(one_of_each_kind(CAPACITY, 1_000_000_000)).await;
    admits_exactly_the_capacity(&ledger, &[("concurrency", 1)]).await;
}

pub(crate) async fn ten_thousand_callers_take_exactly_what_a_bucket_has(ledger: Harness) {
    ledger.put_all(one_of_each_kind(CAPACITY, 1_000_000_000)).await;
    admits_exactly_the_capacity(&ledger, &[("token_bucket", 1)]).await;
}

pub(crate) async fn ten_thousand_callers_take_exactly_what_all_limits_have(ledger: Harness) {
    ledger.put_all(one_of_each_kind(CAPACITY, 1_000_000_000)).await;
    admits_exactly_the_capacity(&ledger, &[("rolling", 1), ("concurrency", 1), ("token_bucket", 1)]).await;
}

pub(crate) async fn one_lease_sent_by_all_is_granted_once(ledger: Harness) {
    ledger.put_all(one_of_each_kind(CAPACITY, 1_000_000_000)).await;
    let request = request(&[("rolling", 1), ("concurrency", 1), ("token_bucket", 1)]);
    storm(&ledger, move |backend, _| {
        let request = request.clone();
        async move { assert!(backend.reserve(&request).get().await.is_ok(), "granted, again and again") }
    })
    .await;
    for key in ["rolling", "concurrency", "token_bucket"] {
        assert_eq!(ledger.available(key).await, CAPACITY - 1, "{key}");
    }
    assert_eq!(ledger.totals().granted, 1);
}

pub(crate) async fn a_grant_is_given_back_or_given_out_again_and_never_both(ledger: Harness) {
    ledger.put(concurrency("c", CAPACITY, 1_000_000)).await;
    storm(&ledger, |backend, _| async move {
        let request = request(&[("c", 1)]);
        let completion = Complete { lease_id: request.lease_id, actuals: used(&[]) };
        let leaves = async {
            if backend.reserve(&request).get().await.is_ok() {
                backend.give_back(&completion).get().await.expect("given back");
            }
        };
        let ((), stays) = tokio::join!(leaves, async { backend.reserve(&request).get().await });
        let view = backend.lease(request.lease_id).get().await.expect("the ledger answers");
        assert_eq!(view.is_some_and(|view| view.is_live), stays.is_ok(), "{stays:?}");
        backend.complete(&completion).get().await.expect("completed");
    })
    .await;
    assert_eq!((ledger.available("c").await, ledger.totals().live_leases), (CAPACITY, 0));
}

pub(crate) async fn a_storm_of_calls_leaves_nothing_held(ledger: Harness) {
    const KEYS: [&str; 3] = ["c:0", "c:1", "c:2"];
    for key in KEYS {
        ledger.put(concurrency(key, 7, 1_000_000)).await;
    }
    let in_use = Arc::new(KEYS.map(|_| AtomicU64::new(0)));
    let uses = Arc::clone(&in_use);
    storm(&ledger, move |backend, call| {
        let uses = Arc::clone(&uses);
        async move {
            let keys = [(call % 3) as usize, ((call / 3) % 3) as usize];
            let amounts = [1 + call % 3, 1 + call % 2];
            let wanted = Reserve::of(keys.into_iter().zip(amounts).map(|(at, amount)| (KEYS[at], amount)));
            let request = wanted.expect("a good request");
            if backend.reserve(&request).get().await.is_err() {
                return;
            }
            for (at, amount) in keys.into_iter().zip(amounts) {
                let others = uses[at].fetch_add(amount, Ordering::SeqCst);
                assert!(others + amount <= 7, "never above the capacity");
            }
            tokio::task::yield_now().await;
            for (at, amount) in keys.into_iter().zip(amounts) {
                uses[at].fetch_sub(amount, Ordering::SeqCst);
            }
            let completion = Complete { lease_id: request.lease_id, actuals: used(&[]) };
            for _ in 0..=call % 2 {
                assert_eq!(backend.complete(&completion).get().await, Ok(()));
            }
        }
    })
    .await;
    for key in KEYS {
        assert_eq!(ledger.available(key).await, 7, "{key}");
    }
    let totals = ledger.totals();
    assert_eq!((totals.live_leases, totals.granted), (0, totals.completed));
    assert!(0 < totals.granted);
}
