//! Over a real Tollgate in this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate::Tollgate;
use tollgate::client::LocalLimiter;
use tollgate::policy::{Amounts, BreakerName, BreakerState, Priority};
use tollgate::scheduler::{ExecuteError, Executed, Job, JobHandle, Run, Scheduler};

use super::upstream;
use crate::support::{concurrency, key, label, rolling, within};

async fn start() -> (Tollgate, Scheduler) {
    let builder = ["a", "b", "c"].iter().fold(Tollgate::builder(), |builder, provider| {
        builder.limit_fields(concurrency(&format!("{provider}:concurrency"), 2, 120)).limit_fields(rolling(
            &format!("{provider}:tpm"),
            1_000,
            60,
        ))
    });
    let tollgate = builder.start().await.expect("it starts");
    let limiter = Arc::new(LocalLimiter::new(tollgate.clone()));
    let scheduler = Scheduler::builder(limiter).start().await.expect("it starts");
    (tollgate, scheduler)
}

fn submit(scheduler: &Scheduler, provider: &'static str, tokens: u64, ms: u64) -> JobHandle<()> {
    let at_once = (key(&format!("{provider}:concurrency")), 1);
    let per_minute = (key(&format!("{provider}:tpm")), tokens);
    let needs = Amounts::to_reserve([at_once, per_minute]).expect("good amounts");
    let call = move |_: Run| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let used = Amounts::used([(key(&format!("{provider}:tpm")), 1)]).expect("good amounts");
        Ok::<_, ExecuteError>(Executed::new(()).used(used))
    };
    scheduler.submit(Job::new(upstream(provider), needs, call)).expect("room")
}

async fn available(tollgate: &Tollgate, text: &str) -> u64 {
    tollgate.usage(&key(text)).await.expect("it answers").expect("it is defined").usage.available
}

#[tokio::test(start_paused = true)]
async fn a_saturated_provider_holds_up_nobody_else_and_goes_on_as_its_calls_end() {
    let (tollgate, scheduler) = start().await;
    let slow: Vec<_> = (0..10).map(|_| submit(&scheduler, "a", 1, 1_000)).collect();
    let others: Vec<_> = (0..10).flat_map(|_| ["b", "c"]).map(|other| submit(&scheduler, other, 1, 20)).collect();
    let all = async {
        for other in others {
            other.await.expect("it runs");
        }
    };
    tokio::time::timeout(Duration::from_millis(200), all).await.expect("all others run within 200 ms");
    // Two at once, each for a second; the timeout of the limit, which a denial tells, is two minutes.
    let all = async {
        for job in slow {
            job.await.expect("it runs");
        }
    };
    tokio::time::timeout(Duration::from_millis(5_500), all).await.expect("as their places become free");
    for provider in ["a", "b", "c"] {
        assert_eq!(available(&tollgate, &format!("{provider}:concurrency")).await, 2);
    }
    assert_eq!(tollgate.totals().live_leases, 0);
    scheduler.shutdown(Duration::ZERO).await;
    tollgate.shutdown().await;
}

/// The ids of jobs for one provider with two slots, in the order in which they ran.
async fn order<'a>(jobs: impl IntoIterator<Item = (String, &'a str, Priority)>) -> Vec<String> {
    let (tollgate, scheduler) = start().await;
    let ran: Arc<Mutex<Vec<String>>> = Arc::default();
    let submit = |(id, tenant, priority): (String, &str, Priority)| {
        let (ran, name) = (Arc::clone(&ran), id.clone());
        let call = move |_: Run| async move {
            ran.lock().expect("nobody panics").push(name);
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, ExecuteError>(Executed::new(()))
        };
        let needs = Amounts::to_reserve([(key("a:concurrency"), 1)]).expect("good amounts");
        let job = Job::new(upstream("a"), needs, call).id(label(&id)).tenant(label(tenant)).priority(priority);
        scheduler.submit(job).expect("room")
    };
    for handle in jobs.into_iter().map(submit).collect::<Vec<_>>() {
        within(60, handle).await.expect("it runs");
    }
    scheduler.shutdown(Duration::ZERO).await;
    tollgate.shutdown().await;
    Arc::try_unwrap(ran).expect("all jobs have ended").into_inner().expect("nobody panics")
}

#[tokio::test(start_paused = true)]
async fn tenants_take_turns_at_a_limit_that_is_full() {
    let loud = (0..50).map(|n| (format!("loud-{n}"), "loud", Priority::Normal));
    let quiet = (0..3).map(|n| (format!("quiet-{n}"), "quiet", Priority::Normal));
    let order = order(loud.chain(quiet)).await;
    let last = order.iter().rposition(|id| id.starts_with("quiet")).expect("it ran");
    assert!(order.len() == 53 && last < 8, "every second turn is quiet's: {order:?}");
}

#[tokio::test(start_paused = true)]
async fn urgent_jobs_go_first_at_a_limit_that_is_full() {
    let low = (0..20).map(|n| (format!("low-{n}"), "acme", Priority::Low));
    let high = (0..3).map(|n| (format!("high-{n}"), "acme", Priority::High));
    let order = order(low.chain(high)).await;
    let last = order.iter().rposition(|id| id.starts_with("high")).expect("it ran");
    assert!(order.len() == 23 && last < 5, "before all that wait: {order:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_call_did_not_use_is_free_for_the_next() {
    let (tollgate, scheduler) = start().await;
    let jobs: Vec<_> = (0..20).map(|_| submit(&scheduler, "a", 900, 10)).collect();
    for job in jobs {
        within(5, job).await.expect("it runs");
    }
    assert_eq!(available(&tollgate, "a:tpm").await, 980);
    scheduler.shutdown(Duration::ZERO).await;
    tollgate.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_fails_at_once_and_unknown_limits_too() {
    let (tollgate, scheduler) = start().await;
    let error = within(1, submit(&scheduler, "a", 1_001, 1)).await.expect_err("it never fits");
    assert_eq!(error.to_string(), "reservation refused: never_fits:a:tpm; the job was not run");
    let error = within(1, submit(&scheduler, "d", 1, 1)).await.expect_err("it is not defined");
    assert_eq!(error.to_string(), "reservation refused: unknown_limit_key:d:concurrency; the job was not run");
    tollgate.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn failures_of_calls_open_their_circuit_breaker() {
    let (tollgate, scheduler) = start().await;
    let name = BreakerName::parse("a").expect("a good name");
    for n in 0..5 {
        let needs = Amounts::to_reserve([(key("a:concurrency"), 1)]).expect("good amounts");
        let call = |_: Run| async { Err::<Executed<()>, _>(ExecuteError::failed("no answer")) };
        let job = Job::new(upstream("a"), needs, call).breaker(name.clone()).id(label(&format!("job-{n}")));
        within(1, scheduler.submit(job).expect("room")).await.expect_err("it fails");
    }
    let breaker = tollgate.breaker(&name).expect("there is room for one");
    assert_eq!(breaker.view().state, BreakerState::Open);
    tollgate.shutdown().await;
}
