//! Who goes first: nobody is held up by another provider, tenants take turns, urgent jobs go first.

use std::time::Duration;

use tollgate::policy::{Priority, Reserve, ScheduleBounds};

use super::recorder::{Answer, Recorder};
use super::{Ran, bounded, job, one_by_one, scheduler};
use crate::support::{label, within};

const SATURATED: usize = 200;

fn is_of(request: &Reserve, prefix: &str) -> bool {
    request.labels.job_id.as_ref().is_some_and(|id| id.as_str().starts_with(prefix))
}

#[tokio::test(start_paused = true)]
async fn a_saturated_provider_holds_up_nobody_else() {
    let full = Answer::Deny(Duration::from_secs(30));
    let recorder = Recorder::new(move |request, _| if is_of(request, "full") { full } else { Answer::Grant });
    let scheduler = scheduler(&recorder).await;
    let saturated: Vec<_> = (0..SATURATED)
        .map(|n| scheduler.submit(job("full", 1).id(label(&format!("full-{n}")))).expect("room"))
        .collect();
    let others: Vec<_> = ["b", "c"]
        .iter()
        .flat_map(|provider| (0..100).map(move |n| job(provider, 20).id(label(&format!("{provider}-{n}")))))
        .map(|job| scheduler.submit(job).expect("room"))
        .collect();
    let all = async {
        for other in others {
            other.await.expect("it runs");
        }
    };
    tokio::time::timeout(Duration::from_millis(200), all).await.expect("all others run within 200 ms");
    let tried = recorder.notes().asked.iter().filter(|asked| asked.job.starts_with("full")).count();
    assert_eq!((tried, scheduler.status().waiting), (1, SATURATED), "one stands for all who wait behind it");
    drop(saturated);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_holds_up_nobody_else() {
    let recorder = Recorder::generous();
    let bounds = ScheduleBounds { running_max: 8, running_per_queue_max: 6, ..ScheduleBounds::default() };
    let scheduler = bounded(&recorder, bounds).await;
    let hanging: Vec<_> = (0..100).map(|_| scheduler.submit(job("hangs", 1_000_000)).expect("room")).collect();
    let others: Vec<_> = (0..10).map(|_| scheduler.submit(job("b", 20)).expect("room")).collect();
    let all = async {
        for other in others {
            other.await.expect("it runs");
        }
    };
    tokio::time::timeout(Duration::from_millis(200), all).await.expect("all others run within 200 ms");
    drop(hanging);
}

#[tokio::test(start_paused = true)]
async fn tenants_take_turns() {
    let (recorder, ran) = (Recorder::generous(), Ran::default());
    let scheduler = bounded(&recorder, one_by_one()).await;
    let mut handles = Vec::new();
    for n in 0..50 {
        handles.push(scheduler.submit(ran.job(&format!("loud-{n}")).tenant(label("loud"))).expect("room"));
    }
    for n in 0..3 {
        handles.push(scheduler.submit(ran.job(&format!("quiet-{n}")).tenant(label("quiet"))).expect("room"));
    }
    for handle in handles {
        within(10, handle).await.expect("it runs");
    }
    let order = ran.order();
    let places: Vec<_> = (0..order.len()).filter(|at| order[*at].starts_with("quiet")).collect();
    assert_eq!(places, [1, 3, 5]);
}

#[tokio::test(start_paused = true)]
async fn urgent_jobs_go_first_and_old_ones_are_not_forgotten() {
    let (recorder, ran) = (Recorder::generous(), Ran::default());
    let scheduler = bounded(&recorder, one_by_one()).await;
    let submit = |id: &str, priority| drop(scheduler.submit(ran.job(id).priority(priority)).expect("room"));
    let blocker = scheduler.submit(job("a", 31_000)).expect("room");
    tokio::time::sleep(Duration::from_millis(1)).await;
    submit("low", Priority::Low);
    submit("normal", Priority::Normal);
    submit("high", Priority::High);
    tokio::time::sleep(Duration::from_millis(30_500)).await;
    submit("late", Priority::High); // Half a second younger than what 30 s make of the normal one.
    within(60, blocker).await.expect("it runs");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ran.order(), ["high", "normal", "late", "low"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_denied_keeps_its_place() {
    let ran = Ran::default();
    let recorder = Recorder::answering([Answer::Deny(Duration::from_secs(1))]);
    let scheduler = bounded(&recorder, one_by_one()).await;
    let handles: Vec<_> = ["first", "second", "third"].map(|id| scheduler.submit(ran.job(id)).expect("room")).into();
    for handle in handles {
        within(10, handle).await.expect("it runs");
    }
    assert_eq!(ran.order(), ["first", "second", "third"]);
}
