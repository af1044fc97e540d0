//! Deadlines, cancellations, observers, and the end of the scheduler itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate::policy::{JobSpec, ScheduleFull};
use tollgate::scheduler::{JobError, JobEvent, Scheduler, SchedulerObserver, SubmitError};

use super::recorder::{Answer, Recorder};
use super::{Ran, bounded, job, one_by_one, scheduler};
use crate::support::{label, within};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn who_is_too_late_is_told_at_the_deadline_and_not_tried() {
    let recorder = Recorder::generous();
    let scheduler = bounded(&recorder, one_by_one()).await;
    let running = scheduler.submit(job("a", 10_000)).expect("room");
    let late = scheduler.submit(job("a", 1).id(label("late")).deadline(300 * MS)).expect("room");
    let error = tokio::time::timeout(301 * MS, late).await.expect("told at the deadline").expect_err("too late");
    assert!(matches!(error, JobError::TooLate { has_begun: false }), "{error}");
    assert!(recorder.notes().asked.iter().all(|asked| asked.job != "late"));
    within(20, running).await.expect("it runs");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_is_cancelled_at_once() {
    let (recorder, ran) = (Recorder::generous(), Ran::default());
    let scheduler = bounded(&recorder, one_by_one()).await;
    let running = scheduler.submit(job("a", 100)).expect("room");
    let waiting = scheduler.submit(ran.job("waiting")).expect("room");
    assert!(scheduler.cancel(waiting.id()) && !scheduler.cancel(waiting.id()));
    assert!(matches!(within(1, waiting).await, Err(JobError::Cancelled)));
    within(1, running).await.expect("it runs");
    assert_eq!((ran.order().len(), scheduler.cancel(&label("nobody"))), (0, false));
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_handle_was_dropped_runs_all_the_same() {
    let (recorder, ran) = (Recorder::generous(), Ran::default());
    let scheduler = scheduler(&recorder).await;
    drop(scheduler.submit(ran.job("alone")).expect("room"));
    tokio::time::sleep(20 * MS).await;
    assert_eq!((ran.order(), scheduler.status().totals.succeeded), (vec!["alone".to_owned()], 1));
    recorder.expect_settled();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_goes_on_for_its_grace_and_reports_every_job() {
    let never = |request: &tollgate::policy::Reserve, _| {
        let is_denied = request.labels.job_id.as_ref().is_some_and(|id| id.as_str() == "denied");
        if is_denied { Answer::Deny(Duration::from_secs(60)) } else { Answer::Grant }
    };
    let recorder = Recorder::new(never);
    let scheduler = scheduler(&recorder).await;
    let submit = |id: &str, provider: &str, ms| scheduler.submit(job(provider, ms).id(label(id))).expect("room");
    let quick = submit("quick", "a", 100);
    let slow = submit("slow", "a", 100_000);
    let denied = submit("denied", "b", 1);
    let short = scheduler.submit(job("a", 9_000).id(label("late")).deadline(200 * MS)).expect("room");
    let shutting = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.shutdown(Duration::from_secs(5)).await }
    });
    tokio::time::sleep(MS).await;
    let refused = scheduler.submit(job("a", 1)).expect_err("it shuts down");
    assert_eq!(refused, SubmitError::Full(ScheduleFull::Closed));
    assert_eq!(refused.to_string(), "the scheduler is shutting down and takes no more jobs; submit to another one");
    let report = within(10, shutting).await.expect("it ends");
    assert_eq!(
        (&report.finished[..], &report.failed[..], &report.cancelled[..], &report.dropped[..]),
        (&[label("quick")][..], &[label("late")][..], &[label("slow")][..], &[label("denied")][..])
    );
    assert!(report.left_behind.is_empty());
    within(1, quick).await.expect("it ran");
    within(1, short).await.expect_err("it was too late");
    for handle in [slow, denied] {
        assert!(matches!(within(1, handle).await, Err(JobError::ShutDown)));
    }
    recorder.expect_settled();
    assert_eq!(within(1, scheduler.shutdown(Duration::ZERO)).await, report, "the same again");
    assert_eq!(scheduler.status().actors.state, "stopped");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_it_with_an_answer_for_all() {
    let recorder = Recorder::generous();
    let scheduler = bounded(&recorder, one_by_one()).await;
    let running = scheduler.submit(job("a", 100_000)).expect("room");
    let waiting = scheduler.submit(job("a", 1)).expect("room");
    tokio::time::sleep(MS).await;
    drop(scheduler);
    for handle in [running, waiting] {
        assert!(matches!(within(1, handle).await, Err(JobError::ShutDown)));
    }
    tokio::time::sleep(MS).await;
    recorder.expect_settled();
}

#[derive(Default)]
struct Watcher {
    seen: Mutex<Vec<String>>,
    panics: bool,
}

impl SchedulerObserver for Watcher {
    fn observe(&self, job: &JobSpec, event: &JobEvent<'_>) {
        let seen = match event {
            JobEvent::Queued => "queued",
            JobEvent::Denied { .. } => "denied",
            JobEvent::Unknown { .. } => "unknown",
            JobEvent::Granted { .. } => "granted",
            JobEvent::Started => "started",
            JobEvent::Ended(Ok(())) => "finished",
            JobEvent::Ended(Err(_)) => "failed",
            other => panic!("{other:?}"),
        };
        self.seen.lock().expect("not poisoned here").push(format!("{} {seen}", job.id.as_str()));
        assert!(!self.panics, "as told");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_it_all_and_cannot_break_anything() {
    let answers = [Answer::Deny(MS), Answer::Unknown { granted: false }];
    let run = async |panics| {
        let watcher = Arc::new(Watcher { panics, ..Watcher::default() });
        let recorder = Recorder::answering(answers);
        let builder = Scheduler::builder(Arc::<Recorder>::clone(&recorder)).observer(Arc::<Watcher>::clone(&watcher));
        let scheduler = builder.start().await.expect("it starts");
        let job = job("a", 1).id(label("job"));
        within(10, scheduler.submit(job).expect("room")).await.expect("it runs");
        recorder.expect_settled();
        drop(scheduler);
        watcher
    };
    let watcher = run(false).await;
    assert_eq!(
        *watcher.seen.lock().expect("not poisoned"),
        ["job queued", "job denied", "job unknown", "job granted", "job started", "job finished"]
    );
    run(true).await;
}
