//! What limiters in this process answer.

use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, Completion, Limiter, LocalLimiter, NoopLimiter};
use crate::clock::Clock;
use crate::policy::{Amounts, Complete, DefinitionFields, LeaseError, Moment, Reason, Renew, Reserve, Seconds};
use crate::{Tollgate, Wait};

async fn two_at_once() -> LocalLimiter {
    let slots = DefinitionFields {
        key: "slots".into(),
        kind: "concurrency".into(),
        capacity: 2,
        timeout_seconds: Some(60),
        ..Default::default()
    };
    LocalLimiter::new(Tollgate::builder().limit_fields(slots).start().await.expect("it starts"))
}

fn attempt(amount: u64) -> Attempt {
    Reserve::of([("slots", amount)]).expect("a good request").into()
}

fn end(attempt: &Attempt) -> Completion {
    Complete { lease_id: attempt.request.lease_id, actuals: Amounts::default() }.into()
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_is_held_until_it_is_completed_by_its_id() {
    let limiter: Arc<dyn Limiter> = Arc::new(two_at_once().await);
    let (first, second) = (attempt(2), attempt(1));
    let grant = limiter.reserve(first.clone()).await.expect("there is room");
    assert_eq!(grant.lease_id, first.request.lease_id);
    let refusal = limiter.reserve(second.clone()).await.expect_err("it is taken");
    assert_eq!(refusal.reason, Reason::Denied);
    limiter.complete(end(&first)).await.expect("it is held");
    limiter.complete(end(&first)).await.expect("a second end is no error");
    limiter.reserve(attempt(1)).await.expect("there is room again");
    let half = Renew { lease_id: grant.lease_id, timeout: Seconds::new(30) };
    assert_eq!(limiter.renew(half).await, Err(LeaseError::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_deadline() {
    let limiter = two_at_once().await;
    limiter.reserve(attempt(2)).await.expect("there is room");
    let clock = Clock::start();
    let deadline = clock.instant_of(Moment::START.after(Duration::from_secs(3)));
    let wait = Wait::at_most(Duration::from_secs(30));
    let refusal = limiter.acquire(attempt(1).by(deadline), wait).await.expect_err("it is taken for a minute");
    assert_eq!(refusal.reason, Reason::Denied);
    assert!(clock.now() <= Moment::START.after(Duration::from_secs(3)), "{:?}", clock.now());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_in_order_each_item_on_its_own() {
    let limiter = two_at_once().await;
    let attempts = [1, 5, 1, 1].map(attempt);
    let answers = limiter.reserve_batch(attempts.to_vec()).await;
    let granted: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(granted, [true, false, true, false]);
    assert!(matches!(answers[1].as_ref().expect_err("too much").reason, Reason::NeverFits(_)));
    let wrong = Reserve::of([("other", 1)]).expect("a good request").amounts;
    let unheld = Completion::never_ran(attempts[0].request.lease_id, &wrong);
    let ended = limiter.complete_batch(vec![end(&attempts[2]), unheld, end(&attempts[1])]).await;
    assert!(matches!(&ended[..], [Ok(()), Err(LeaseError::KeyNotHeld(_)), Ok(())]), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ran_gives_all_of_it_back() {
    let limiter = two_at_once().await;
    let first = attempt(2);
    limiter.reserve(first.clone()).await.expect("there is room");
    limiter.complete(Completion::never_ran(first.request.lease_id, &first.request.amounts)).await.expect("it is held");
    limiter.reserve(attempt(2)).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn without_limits_everything_is_granted() {
    let limiter: Arc<dyn Limiter> = Arc::new(NoopLimiter::new());
    for _ in 0..3 {
        let attempt = attempt(u64::MAX);
        let grant = limiter.acquire(attempt.clone(), Wait::at_most(Duration::ZERO)).await.expect("it is granted");
        assert_eq!(grant.lease_id, attempt.request.lease_id);
        let renew = Renew { lease_id: grant.lease_id, timeout: Seconds::new(7) };
        assert_eq!(limiter.renew(renew).await, Ok(Duration::from_secs(7)));
        limiter.complete(end(&attempt)).await.expect("whatever it is");
    }
}
