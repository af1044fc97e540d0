//! The slots of calls that take longer than their limits let them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::Instant;
use tollgate::client::{Attempt, Completion, Limiter, LocalLimiter};
use tollgate::policy::{Amounts, Complete, Grant, JobSpec, LeaseError, LeaseId, Refusal, Renew};
use tollgate::scheduler::{ExecuteError, Executed, Job, JobEvent, Run, Scheduler, SchedulerObserver};
use tollgate::{Tollgate, Wait};

use super::recorder::Recorder;
use super::{job, upstream};
use crate::support::{concurrency, key, label, rolling, sleep_ms, within};

/// As long as a slot is held without a renewal.
const TIMEOUT: Duration = Duration::from_secs(2);

#[expect(clippy::disallowed_methods, reason = "a limiter has a clock")]
fn now() -> Instant {
    Instant::now()
}

/// What becomes of a renewal.
#[derive(Clone, Copy)]
enum Renewal {
    Done,
    Unknown,
    Over,
    Panic,
}

/// Grants leases that have to be renewed, and notes when they are.
struct Slots {
    recorder: Arc<Recorder>,
    renewals: Box<dyn Fn(usize) -> Renewal + Send + Sync>,
    granted_at: Mutex<Instant>,
    renewed_at: Mutex<Vec<Instant>>,
}

impl Slots {
    fn new(renewals: impl Fn(usize) -> Renewal + Send + Sync + 'static) -> Arc<Self> {
        let (recorder, granted_at) = (Recorder::generous(), Mutex::new(now()));
        Arc::new(Self { recorder, renewals: Box::new(renewals), granted_at, renewed_at: Mutex::default() })
    }

    /// Milliseconds after the grant.
    fn renewed_at_ms(&self) -> Vec<u128> {
        let granted_at = *self.granted_at.lock().expect("nobody panics over it");
        let renewed_at = self.renewed_at.lock().expect("nobody panics over it");
        renewed_at.iter().map(|at| (*at - granted_at).as_millis()).collect()
    }
}

impl Limiter for Slots {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        *self.granted_at.lock().expect("nobody panics over it") = now();
        self.recorder.reserve(attempt)
    }

    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.recorder.acquire(attempt, wait)
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.recorder.complete(completion)
    }

    fn renew(&self, _: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        let before = {
            let mut renewed_at = self.renewed_at.lock().expect("nobody panics over it");
            renewed_at.push(now());
            renewed_at.len() - 1
        };
        let answer = match (self.renewals)(before) {
            Renewal::Done => Ok(TIMEOUT),
            Renewal::Unknown => Err(LeaseError::Backend("no answer".to_owned())),
            Renewal::Over => Err(LeaseError::Finished),
            Renewal::Panic => panic!("as told"),
        };
        async move { answer }.boxed()
    }

    fn renew_within(&self, _: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        let renewed_at = self.renewed_at.lock().expect("nobody panics over it").last().copied();
        let held_since = renewed_at.unwrap_or_else(|| *self.granted_at.lock().expect("nobody panics over it"));
        async move { Ok(Some(TIMEOUT.saturating_sub(now() - held_since))) }.boxed()
    }
}

/// Counts the leases that were lost.
#[derive(Default)]
struct Lost(Mutex<Vec<String>>);

impl SchedulerObserver for Lost {
    fn observe(&self, job: &JobSpec, event: &JobEvent<'_>) {
        if let JobEvent::LeaseLost = event {
            self.0.lock().expect("nobody panics").push(job.id.as_str().to_owned());
        }
    }
}

/// Runs one job of so many milliseconds to its end.
async fn run(slots: &Arc<Slots>, ms: u64) -> Vec<String> {
    let lost = Arc::new(Lost::default());
    let builder = Scheduler::builder(Arc::<Slots>::clone(slots)).observer(Arc::<Lost>::clone(&lost));
    let scheduler = builder.start().await.expect("it starts");
    within(600, scheduler.submit(job("a", ms).id(label("job"))).expect("room")).await.expect("it runs");
    slots.recorder.expect_settled();
    sleep_ms(60_000).await; // Whatever is renewed after the end is seen.
    lost.0.lock().expect("nobody panics").clone()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_long_keeps_its_slot_and_gives_it_back_at_its_end() {
    let limits = [concurrency("slots", 1, 2), rolling("tokens", 100, 3_600)];
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit_fields(limit));
    let tollgate = builder.start().await.expect("it starts");
    let limiter = Arc::new(LocalLimiter::new(tollgate.clone()));
    let scheduler = Scheduler::builder(limiter).start().await.expect("it starts");
    let submit = |ms| {
        let needs = Amounts::to_reserve([(key("slots"), 1), (key("tokens"), 1)]).expect("good amounts");
        let call = move |_: Run| async move {
            sleep_ms(ms).await;
            Ok::<_, ExecuteError>(Executed::new(()))
        };
        scheduler.submit(Job::new(upstream("a"), needs, call)).expect("room")
    };
    let (long, next) = (submit(20_000), submit(10));
    for _ in 0..19 {
        sleep_ms(1_000).await;
        assert_eq!((scheduler.status().totals.granted, tollgate.totals().live_leases), (1, 1));
        let usage = tollgate.usage(&key("slots")).await.expect("it answers").expect("it is defined").usage;
        assert_eq!(usage.available, 0, "nobody else has the slot");
    }
    within(2, long).await.expect("it runs");
    within(2, next).await.expect("it has the slot then");
    assert_eq!((tollgate.totals().live_leases, tollgate.totals().expired), (0, 0));
    scheduler.shutdown(Duration::ZERO).await;
    tollgate.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn each_renewal_comes_half_way_and_none_after_the_end() {
    let slots = Slots::new(|_| Renewal::Done);
    assert_eq!((run(&slots, 3_500).await.len(), slots.renewed_at_ms()), (0, vec![1_000, 2_000, 3_000]));
    let slots = Slots::new(|_| Renewal::Done);
    assert_eq!((run(&slots, 200).await.len(), slots.renewed_at_ms()), (0, vec![]), "a short call is left alone");
}

#[tokio::test(start_paused = true)]
async fn while_nobody_answers_renewals_go_on() {
    let slots = Slots::new(|before| if before < 2 { Renewal::Unknown } else { Renewal::Done });
    assert_eq!(run(&slots, 8_000).await.len(), 0);
    let renewed_at = slots.renewed_at_ms();
    assert!(renewed_at.is_sorted() && 5 < renewed_at.len() && renewed_at.len() < 9, "{renewed_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_is_told_once_and_its_call_goes_on() {
    let slots = Slots::new(|before| if before < 2 { Renewal::Done } else { Renewal::Over });
    assert_eq!(run(&slots, 20_000).await, ["job"]);
    assert_eq!(slots.renewed_at_ms(), [1_000, 2_000, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_panics_over_a_renewal_ends_no_call() {
    let slots = Slots::new(|_| Renewal::Panic);
    assert_eq!(run(&slots, 20_000).await.len(), 0);
    assert_eq!(slots.renewed_at_ms(), [1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_else_completes_is_lost() {
    let tollgate = Tollgate::builder().limit_fields(concurrency("slots", 1, 2)).start().await.expect("it starts");
    let limiter = Arc::new(LocalLimiter::new(tollgate.clone()));
    let lost = Arc::new(Lost::default());
    let builder = Scheduler::builder(limiter).observer(Arc::<Lost>::clone(&lost));
    let scheduler = builder.start().await.expect("it starts");
    let needs = Amounts::to_reserve([(key("slots"), 1)]).expect("good amounts");
    let ending = tollgate.clone();
    let call = move |run: Run| async move {
        let request = Complete { lease_id: run.lease_id, actuals: Amounts::default() };
        ending.complete(request).await.map_err(ExecuteError::failed)?;
        sleep_ms(10_000).await;
        Ok(Executed::new(()))
    };
    let handle = scheduler.submit(Job::new(upstream("a"), needs, call).id(label("job"))).expect("room");
    within(20, handle).await.expect("it runs");
    assert_eq!(*lost.0.lock().expect("nobody panics"), ["job"]);
    scheduler.shutdown(Duration::ZERO).await;
    tollgate.shutdown().await;
}
