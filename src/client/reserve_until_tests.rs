//! Which ids a host reserves under, when, and what it gives back: seen by a limiter that answers as it is told.

use futures_util::future::{FutureExt, ready};
use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::clock::Clock;
use crate::policy::{Key, LeaseError, LeaseId, Moment, Reason, Renew};

struct Recorder {
    clock: Clock,
    answers: Mutex<VecDeque<Refusal>>,
    asked: Mutex<Vec<(u128, Duration)>>,
    completed: Mutex<Vec<u128>>,
}

impl Recorder {
    /// Gives these answers, then grants.
    fn new(answers: impl IntoIterator<Item = Refusal>) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::start(),
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            completed: Mutex::default(),
        })
    }

    async fn reserve_within(self: &Arc<Self>, time: Duration) -> Result<Grant, Box<Refusal>> {
        let deadline = self.clock.instant_of(self.clock.now().after(time));
        let limiter: Arc<dyn Limiter> = Arc::<Self>::clone(self);
        reserve_until(&limiter, Reserve::of([("rpm", 1)]).expect("a good request"), deadline).await
    }

    fn asked(&self) -> Vec<(u128, Duration)> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Limiter for Recorder {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        let id = attempt.request.lease_id;
        self.asked.lock().expect("no panic").push((id.as_u128(), self.clock.now().since(Moment::START)));
        let answer = match self.answers.lock().expect("no panic").pop_front() {
            Some(refusal) => Err(Box::new(refusal)),
            None => Ok(Grant { lease_id: id, reserved_at_unix_ms: 0 }),
        };
        ready(answer).boxed()
    }

    fn acquire(&self, attempt: Attempt, _: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.reserve(attempt)
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        assert!(completion.request.actuals.iter().all(|actual| actual.amount == 0), "the call never ran");
        self.completed.lock().expect("no panic").push(completion.request.lease_id.as_u128());
        ready(Ok(())).boxed()
    }

    fn renew(&self, _: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        ready(Err(LeaseError::Finished)).boxed()
    }

    fn renew_within(&self, _: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        ready(Ok(None)).boxed()
    }
}

fn unknown() -> Refusal {
    Refusal::permanent(Reason::BackendError("no answer".to_owned()))
}

fn denied(retry_after: Duration) -> Refusal {
    Refusal { reason: Reason::Denied, retry_after, denied: Vec::new() }
}

/// What a server says that did not look.
fn overloaded() -> Refusal {
    Refusal::overloaded(SECOND)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_unknown_is_repeated_under_its_id_and_a_denial_under_a_new_one() {
    let recorder = Recorder::new([unknown(), unknown(), denied(SECOND), unknown()]);
    let grant = recorder.reserve_within(10 * SECOND).await.expect("it is granted");
    let asked = recorder.asked();
    let ids: Vec<u128> = asked.iter().map(|(id, _)| *id).collect();
    assert_eq!((ids[0], ids[0], ids[3]), (ids[1], ids[2], ids[4]));
    assert_ne!(ids[0], ids[3]);
    assert_eq!(grant.lease_id.as_u128(), ids[4]);
    assert!(asked[2].1 + SECOND <= asked[3].1, "{asked:?}");
    assert!(recorder.completed.lock().expect("no panic").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_is_refused_at_once() {
    let never = Refusal::permanent(Reason::NeverFits(Key::parse("rpm").expect("a good key")));
    let recorder = Recorder::new([never.clone()]);
    assert_eq!(recorder.reserve_within(10 * SECOND).await, Err(Box::new(never)));
    assert_eq!((recorder.asked().len(), recorder.clock.now()), (1, Moment::START));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_comes_after_the_deadline() {
    let recorder = Recorder::new([denied(SECOND), denied(60 * SECOND)]);
    let refusal = recorder.reserve_within(10 * SECOND).await.expect_err("it comes too late");
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::Denied, 60 * SECOND));
    assert!(recorder.clock.now().since(Moment::START) < 2 * SECOND);
    tokio::task::yield_now().await;
    assert!(recorder.completed.lock().expect("no panic").is_empty(), "a denial holds nothing");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_granted_and_will_not_be_used_is_given_back() {
    let recorder = Recorder::new(std::iter::repeat_n(unknown(), 100));
    let refusal = recorder.reserve_within(3 * SECOND).await.expect_err("nobody knows");
    assert_eq!(refusal.reason, Reason::BackendError("no answer".to_owned()));
    tokio::task::yield_now().await;
    let asked = recorder.asked();
    assert!((5..10).contains(&asked.len()), "bounded: {asked:?}");
    assert_eq!(*recorder.completed.lock().expect("no panic"), [asked[0].0]);

    let recorder = Recorder::new(std::iter::repeat_n(unknown(), 100));
    let gone = tokio::time::timeout(SECOND / 2, recorder.reserve_within(60 * SECOND)).await;
    assert!(gone.is_err(), "it was dropped on the way");
    tokio::task::yield_now().await;
    assert_eq!(recorder.completed.lock().expect("no panic").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_in_doubt_stays_so_while_the_server_is_overloaded() {
    // The first answer was lost, and may have been a grant.
    let recorder = Recorder::new([unknown(), overloaded(), overloaded()]);
    let grant = recorder.reserve_within(10 * SECOND).await.expect("it is granted");
    let asked = recorder.asked();
    assert!(asked.iter().all(|(id, _)| *id == grant.lease_id.as_u128()) && asked.len() == 4, "{asked:?}");
    assert!(asked[1].1 + SECOND <= asked[2].1 && asked[2].1 + SECOND <= asked[3].1, "not before it says: {asked:?}");
    assert!(recorder.completed.lock().expect("no panic").is_empty());

    let recorder = Recorder::new([unknown(), overloaded(), overloaded()]);
    let refusal = recorder.reserve_within(3 * SECOND / 2).await.expect_err("there is no time for more");
    assert_eq!(refusal.reason, Reason::Overloaded);
    tokio::task::yield_now().await;
    assert_eq!(*recorder.completed.lock().expect("no panic"), [recorder.asked()[0].0], "it is given back");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_is_given_back_where_asking_again_is_in_vain() {
    let recorder = Recorder::new([unknown(), Refusal::permanent(Reason::InvalidRequest("a wrong token".to_owned()))]);
    recorder.reserve_within(10 * SECOND).await.expect_err("it is not asked");
    tokio::task::yield_now().await;
    assert_eq!(*recorder.completed.lock().expect("no panic"), [recorder.asked()[0].0]);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_only_told_of_an_overload_holds_nothing() {
    let recorder = Recorder::new([overloaded()]);
    recorder.reserve_within(10 * SECOND).await.expect("it is granted");
    let asked = recorder.asked();
    assert!(asked.len() == 2 && asked[0].0 != asked[1].0, "{asked:?}");
    assert!(recorder.completed.lock().expect("no panic").is_empty());
}
