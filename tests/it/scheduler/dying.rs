//! The dispatcher dies, again and again: no job is lost, none runs twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tollgate::policy::ScheduleBounds;
use tollgate::scheduler::{ExecuteError, Executed, Job, JobError, Run};

use super::recorder::{Answer, Recorder};
use super::{bounded, job, needs, scheduler, upstream};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_when_the_dispatcher_dies_in_the_middle() {
    const JOBS: usize = 400;
    let denies_some =
        |_: &_, before| if before % 7 == 0 { Answer::Deny(Duration::from_millis(1)) } else { Answer::Grant };
    let recorder = Recorder::new(denies_some);
    let scheduler = bounded(&recorder, ScheduleBounds { running_max: 8, ..ScheduleBounds::default() }).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..JOBS)
        .map(|n| {
            let runs = Arc::clone(&runs);
            let call = move |_: Run| async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok::<_, ExecuteError>(Executed::new(n))
            };
            scheduler.submit(Job::new(upstream(["a", "b", "c"][n % 3]), needs(), call)).expect("room")
        })
        .collect();
    for _ in 0..10 {
        if let Some(dispatcher) = scheduler.dispatcher_actor() {
            dispatcher.kill();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(within(20, handle).await.expect("it runs"), n);
    }
    assert_eq!(runs.load(Ordering::SeqCst), JOBS, "each ran once");
    recorder.expect_settled();
    assert!(0 < scheduler.status().actors.children[0].restarts);
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_whose_dispatcher_dies_too_often_ends_with_an_answer_for_all() {
    let recorder = Recorder::new(|_, _| Answer::Deny(Duration::from_secs(600)));
    let scheduler = scheduler(&recorder).await;
    let waiting = scheduler.submit(job("a", 1)).expect("room");
    let killing = async {
        while !waiting_is_over(&scheduler) {
            if let Some(dispatcher) = scheduler.dispatcher_actor() {
                dispatcher.kill();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(60, killing).await;
    within(1, scheduler.ended()).await;
    assert!(matches!(within(1, waiting).await, Err(JobError::ShutDown)));
    scheduler.submit(job("a", 1)).expect_err("it has ended");
}

fn waiting_is_over(scheduler: &tollgate::scheduler::Scheduler) -> bool {
    let status = scheduler.status();
    status.waiting == 0 && status.under_way == 0
}
