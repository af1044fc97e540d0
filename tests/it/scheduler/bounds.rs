//! How much a scheduler takes, and what it answers to more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate::policy::{Amounts, ScheduleBounds};
use tollgate::scheduler::{ExecuteError, Executed, Job, Run, Scheduler};

use super::recorder::Recorder;
use super::{bounded, job, needs, scheduler, upstream};
use crate::support::{label, within};

#[tokio::test(start_paused = true)]
async fn full_queues_refuse_with_a_reason_and_have_room_again_later() {
    let recorder = Recorder::generous();
    let scheduler =
        bounded(&recorder, ScheduleBounds { jobs_max: 3, jobs_per_queue_max: 2, ..ScheduleBounds::default() }).await;
    let refused = |provider: &str| scheduler.submit(job(provider, 1)).expect_err("no room").to_string();
    let first = scheduler.submit(job("a", 5).id(label("first"))).expect("room");
    let second = scheduler.submit(job("a", 5)).expect("room");
    assert_eq!(
        refused("a"),
        "the queue of `a/model` holds 2 jobs, all that it may; submit again when some have ended, or raise \
        `jobs_per_queue_max`"
    );
    let third = scheduler.submit(job("b", 5)).expect("room");
    assert_eq!(
        refused("c"),
        "the scheduler holds 3 jobs, all that it may; submit again when some have ended, or raise `jobs_max`"
    );
    let again = scheduler.submit(job("a", 1).id(label("first"))).expect_err("it has that one");
    assert_eq!(
        again.to_string(),
        "`id` is `first`, and a job with this id has not ended; give each job an id of its own"
    );
    for handle in [first, second, third] {
        within(1, handle).await.expect("it runs");
    }
    within(1, scheduler.submit(job("a", 1).id(label("first"))).expect("room again")).await.expect("it runs");
    assert_eq!((scheduler.status().totals.submitted, scheduler.status().totals.turned_away), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn a_job_without_limits_or_breaker_is_a_mistake() {
    let scheduler = scheduler(&Recorder::generous()).await;
    let call = |_: Run| async { Ok::<_, ExecuteError>(Executed::new(())) };
    let job = Job::new(upstream("a"), Amounts::default(), call);
    assert_eq!(
        scheduler.submit(job).expect_err("it needs nothing").to_string(),
        "`amounts` has 0 entries; name at least one limit, or a circuit breaker with `Job::breaker`"
    );
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_could_do_nothing_does_not_start() {
    let bounds = ScheduleBounds { running_max: 0, ..ScheduleBounds::default() };
    let error = Scheduler::builder(Recorder::generous()).bounds(bounds).start().await.expect_err("a bound of 0");
    assert_eq!(error.to_string(), "`running_max` is 0; use 1 to 100000000");
    let named = || Scheduler::builder(Recorder::generous()).name("one").start();
    let _first = named().await.expect("it starts");
    let error = named().await.expect_err("its name is taken").to_string();
    assert!(
        error.starts_with("the actors of `one` did not start: ")
            && error.ends_with("; give each scheduler of a process a name of its own"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_may() {
    let recorder = Recorder::generous();
    let bounds = ScheduleBounds { running_max: 7, running_per_queue_max: 5, ..ScheduleBounds::default() };
    let scheduler = bounded(&recorder, bounds).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = (0..60)
        .map(|n| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let call = move |_: Run| async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, ExecuteError>(Executed::new(()))
            };
            let provider = if n % 2 == 0 { "a" } else { "b" };
            scheduler.submit(Job::new(upstream(provider), needs(), call)).expect("room")
        })
        .collect();
    for handle in handles {
        within(10, handle).await.expect("it runs");
    }
    assert_eq!(most.load(Ordering::SeqCst), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hears_of_the_end_of_a_job_finds_its_place_free() {
    let scheduler = bounded(&Recorder::generous(), ScheduleBounds { jobs_max: 1, ..ScheduleBounds::default() }).await;
    for _ in 0..2_000 {
        let call = |_: Run| async { Ok::<_, ExecuteError>(Executed::new(())) };
        let job = Job::new(upstream("a"), needs(), call).id(label("again"));
        within(5, scheduler.submit(job).expect("room")).await.expect("it runs");
    }
    assert_eq!(scheduler.status().totals.succeeded, 2_000);
}
