//! Which calls a batcher makes, when, and what becomes of every request: seen by a limiter that takes its time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;
use crate::clock::Clock;
use crate::policy::{Amounts, Complete, Moment, Reserve};

const MS: Duration = Duration::from_millis(1);
/// How long the limiter takes for a call.
const CALL: Duration = Duration::from_millis(10);

/// One call: when it began, what kind, how many requests.
type Call = (u128, &'static str, usize);

struct Slow {
    clock: Clock,
    calls: Mutex<Vec<Call>>,
    live: Mutex<Vec<u128>>,
    panics: AtomicBool,
}

impl Slow {
    fn new() -> Arc<Self> {
        let clock = Clock::start();
        Arc::new(Self { clock, calls: Mutex::default(), live: Mutex::default(), panics: AtomicBool::new(false) })
    }

    fn begin(&self, kind: &'static str, count: usize) {
        self.calls.lock().expect("no panic").push((self.elapsed(), kind, count));
        assert!(!self.panics.load(Ordering::Relaxed), "as it was told");
    }

    fn elapsed(&self) -> u128 {
        self.clock.now().since(Moment::START).as_millis()
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic").clone()
    }

    fn live(&self) -> usize {
        self.live.lock().expect("no panic").len()
    }
}

impl Limiter for Slow {
    fn reserve(&self, _: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        unreachable!("a batcher reserves in batches")
    }

    fn acquire(&self, attempt: Attempt, _: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move { self.reserve_batch(vec![attempt]).await.remove(0) }.boxed()
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        async move { self.complete_batch(vec![completion]).await.remove(0) }.boxed()
    }

    fn renew(&self, _: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        async { Err(LeaseError::Finished) }.boxed()
    }

    fn renew_within(&self, _: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        async { Ok(None) }.boxed()
    }

    /// Grants even amounts.
    fn reserve_batch(&self, attempts: Vec<Attempt>) -> BoxFuture<'_, Vec<Result<Grant, Box<Refusal>>>> {
        async move {
            self.begin("reserve", attempts.len());
            sleep(CALL).await;
            let decide = |attempt: Attempt| {
                let lease_id = attempt.request.lease_id;
                if attempt.request.amounts.iter().any(|amount| amount.amount % 2 != 0) {
                    return Err(Box::new(Refusal::permanent(Reason::Denied)));
                }
                self.live.lock().expect("no panic").push(lease_id.as_u128());
                Ok(Grant { lease_id, reserved_at_unix_ms: 0 })
            };
            attempts.into_iter().map(decide).collect()
        }
        .boxed()
    }

    fn complete_batch(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), LeaseError>>> {
        async move {
            self.begin("complete", completions.len());
            sleep(CALL).await;
            let mut live = self.live.lock().expect("no panic");
            for completion in &completions {
                live.retain(|id| *id != completion.request.lease_id.as_u128());
            }
            completions.iter().map(|_| Ok(())).collect()
        }
        .boxed()
    }
}

fn batcher(size: usize, workers: usize) -> (Arc<Slow>, Batcher) {
    let slow = Slow::new();
    let settings = BatchSettings { size, flush: 2 * MS, workers };
    (Arc::clone(&slow), Batcher::new(slow, &settings))
}

fn attempt(amount: u64) -> Attempt {
    Reserve::of([("rpm", amount)]).expect("a good request").into()
}

fn end(attempt: &Attempt) -> Completion {
    Complete { lease_id: attempt.request.lease_id, actuals: Amounts::default() }.into()
}

#[tokio::test(start_paused = true)]
async fn the_first_goes_at_once_and_those_behind_it_together() {
    let (slow, batcher) = batcher(128, 4);
    let attempts: Vec<Attempt> = (1..=101).map(attempt).collect();
    let answers = join_all(attempts.iter().map(|attempt| batcher.reserve(attempt.clone()))).await;
    for (at, (attempt, answer)) in attempts.iter().zip(answers).enumerate() {
        match answer {
            Ok(grant) => assert_eq!(grant.lease_id, attempt.request.lease_id),
            Err(refusal) => assert_eq!((refusal.reason, at % 2), (Reason::Denied, 0)),
        }
    }
    assert_eq!(slow.calls(), [(0, "reserve", 1), (2, "reserve", 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait_and_no_more_are_on_their_way_than_may_be() {
    let (slow, batcher) = batcher(3, 2);
    let attempts: Vec<Attempt> = (0..8).map(|_| attempt(2)).collect();
    let answers = join_all(attempts.iter().map(|attempt| batcher.reserve(attempt.clone()))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(slow.calls(), [(0, "reserve", 1), (0, "reserve", 3), (10, "reserve", 3), (10, "reserve", 1)]);
}

#[tokio::test(start_paused = true)]
async fn reservations_and_completions_travel_apart() {
    let (slow, batcher) = batcher(128, 4);
    let attempts: Vec<Attempt> = (0..10).map(|_| attempt(2)).collect();
    let ends = join_all(attempts.iter().map(|attempt| batcher.complete(end(attempt))));
    let (_, ends) = tokio::join!(join_all(attempts.iter().map(|attempt| batcher.reserve(attempt.clone()))), ends);
    assert!(ends.iter().all(Result::is_ok));
    let mut calls = slow.calls();
    calls.sort_unstable();
    assert_eq!(calls, [(0, "complete", 1), (0, "reserve", 1), (2, "complete", 9), (2, "reserve", 9)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_to_one_who_has_gone_is_given_back() {
    let (slow, batcher) = batcher(4, 4);
    // At any moment: before it is sent, on its way, as the answer comes, when it lies there.
    for ms in 0..16 {
        let held = attempt(2);
        batcher.reserve(held.clone()).await.expect("it is granted");
        let leaving = (0..6).map(|_| tokio::time::timeout(ms * MS, batcher.reserve(attempt(2))));
        for kept in join_all(leaving).await.into_iter().filter_map(Result::ok) {
            let lease_id = kept.expect("it is granted").lease_id;
            batcher.complete(Complete { lease_id, actuals: Amounts::default() }.into()).await.expect("it is held");
        }
        batcher.complete(end(&held)).await.expect("it is held");
        sleep(20 * CALL).await;
        assert_eq!(slow.live(), 0, "left after {ms} ms");
    }
    let (reserve, polled) = (batcher.reserve(attempt(2)), sleep(CALL / 2));
    tokio::pin!(reserve);
    assert!(futures_util::poll!(&mut reserve).is_pending());
    polled.await;
    sleep(CALL).await; // The answer lies there, and nobody takes it.
    assert_eq!(slow.live(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_sends_what_waits_and_then_takes_no_more() {
    let (slow, batcher) = batcher(128, 1);
    let attempts: Vec<Attempt> = (0..5).map(|_| attempt(2)).collect();
    let waiting = join_all(attempts.iter().map(|attempt| {
        let (batcher, attempt) = (batcher.clone(), attempt.clone());
        tokio::spawn(async move {
            let granted = batcher.reserve(attempt.clone()).await;
            batcher.complete(end(&attempt)).await.expect("it is held");
            granted
        })
    }));
    tokio::task::yield_now().await;
    let (answers, ()) = tokio::join!(waiting, batcher.shutdown());
    assert!(answers.into_iter().all(|answer| answer.expect("no panic").is_ok()));
    assert_eq!(slow.live(), 0);
    let refusal = batcher.reserve(attempt(2)).await.expect_err("it is over");
    assert_eq!(*refusal, Refusal::overloaded(Duration::from_millis(100)));
    batcher.complete(end(&attempts[0])).await.expect("on its own");
    batcher.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_kept_while_the_limiter_takes_its_time() {
    let (slow, batcher) = batcher(128, 1);
    let by = |ms| attempt(2).by(slow.clock.instant_of(slow.clock.now().after(ms * MS)));
    let (first, second, third) = tokio::join!(batcher.reserve(by(5)), batcher.reserve(by(8)), batcher.reserve(by(40)));
    let too_late = Reason::BackendError("the deadline passed before the reservation was answered".to_owned());
    assert_eq!(first.expect_err("too late").reason, too_late);
    assert_eq!(second.expect_err("too late").reason, too_late);
    third.expect("in time");
    let reserves: Vec<Call> = slow.calls().into_iter().filter(|(_, kind, _)| *kind == "reserve").collect();
    assert_eq!(reserves, [(0, "reserve", 1), (10, "reserve", 1)], "nobody waits for the second any more");
    sleep(20 * CALL).await;
    assert_eq!(slow.live(), 1, "the first is given back");
}

#[tokio::test(start_paused = true)]
async fn more_than_can_wait_are_refused_and_a_panic_is_an_unknown_outcome() {
    let (slow, batcher) = batcher(1, 1);
    let mut waiting: Vec<_> = (0..ITEMS_MAX).map(|_| batcher.reserve(attempt(2))).collect();
    for reserve in &mut waiting {
        assert!(futures_util::poll!(reserve).is_pending());
    }
    let refusal = batcher.reserve(attempt(2)).await.expect_err("no room");
    assert_eq!(refusal.reason, Reason::Overloaded);
    drop(waiting);
    sleep(10 * CALL).await;
    assert_eq!((slow.live(), slow.calls().len()), (0, 0), "nobody waited for any of them when they were to be sent");
    slow.panics.store(true, Ordering::Relaxed);
    let unknown = batcher.reserve(attempt(2)).await.expect_err("nobody knows");
    assert_eq!(unknown.reason, Reason::BackendError("the batch ended without an answer".to_owned()));
    let error = batcher.complete(end(&attempt(2))).await.expect_err("nobody knows");
    assert_eq!(error, LeaseError::Backend("the batch ended without an answer".to_owned()));
    slow.panics.store(false, Ordering::Relaxed);
    batcher.reserve(attempt(2)).await.expect("it goes on");
}
