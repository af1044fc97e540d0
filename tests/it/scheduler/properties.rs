//! Whatever the limiter answers and the host does, each job ends once, and each grant is completed once.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tollgate::policy::{JobSpec, Priority, ScheduleBounds};
use tollgate::scheduler::{ExecuteError, Executed, Job, JobEvent, Run, Scheduler, SchedulerObserver};

use super::recorder::{Answer, Recorder};
use super::{needs, upstream};
use crate::support::{label, within};

#[derive(Clone, Debug)]
struct Plan {
    provider: u8,
    tenant: u8,
    priority: u8,
    deadline_ms: u64,
    attempts_max: u32,
    call_ms: u64,
    end: u8,
    cancel_after_ms: Option<u64>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let who = (0..3_u8, 0..3_u8, 0..3_u8);
    let bounds = (1..3_000_u64, 0..6_u32, 0..200_u64, 0..4_u8, proptest::option::weighted(0.3, 0..500_u64));
    (who, bounds).prop_map(
        |((provider, tenant, priority), (deadline_ms, attempts_max, call_ms, end, cancel_after_ms))| Plan {
            provider,
            tenant,
            priority,
            deadline_ms,
            attempts_max,
            call_ms,
            end,
            cancel_after_ms,
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        5 => Just(Answer::Grant),
        3 => (0..400_u64).prop_map(|ms| Answer::Deny(Duration::from_millis(ms))),
        2 => Just(Answer::Unknown { granted: false }),
        2 => Just(Answer::Unknown { granted: true }),
        1 => Just(Answer::NeverFits),
        1 => Just(Answer::Hang),
    ]
}

#[derive(Default)]
struct Ends(Mutex<HashMap<String, u32>>);

impl SchedulerObserver for Ends {
    fn observe(&self, job: &JobSpec, event: &JobEvent<'_>) {
        if let JobEvent::Ended(_) = event {
            *self.0.lock().expect("nobody panics").entry(job.id.as_str().to_owned()).or_default() += 1;
        }
    }
}

async fn run(plans: Vec<Plan>, answers: Vec<Answer>, shutdown_after_ms: u64, kill: bool) {
    // An answer that is known stays: what was granted under an id is granted when it is asked again.
    let granted = Mutex::new(std::collections::HashSet::new());
    let recorder = Recorder::new(move |request, before| {
        let mut granted = granted.lock().expect("nobody panics");
        let answer = answers.get(before % answers.len().max(1)).copied().unwrap_or(Answer::Grant);
        let is_granted = granted.contains(&request.lease_id);
        let answer = match answer {
            Answer::Unknown { .. } if is_granted => Answer::Unknown { granted: true },
            _ if is_granted => Answer::Grant,
            other => other,
        };
        if matches!(answer, Answer::Grant | Answer::Unknown { granted: true }) {
            granted.insert(request.lease_id);
        }
        answer
    });
    let ends = Arc::new(Ends::default());
    let bounds = ScheduleBounds { running_max: 5, running_per_queue_max: 3, ..ScheduleBounds::default() };
    let builder = Scheduler::builder(Arc::<Recorder>::clone(&recorder)).bounds(bounds);
    let scheduler = builder.observer(Arc::<Ends>::clone(&ends)).start().await.expect("it starts");
    let mut handles = Vec::new();
    for (n, plan) in plans.into_iter().enumerate() {
        let call = move |_: Run| async move {
            tokio::time::sleep(Duration::from_millis(plan.call_ms)).await;
            match plan.end {
                0 => Err(ExecuteError::failed("as planned")),
                1 => Err(ExecuteError::never_ran("as planned")),
                2 => panic!("as planned"),
                _ => Ok(Executed::new(n)),
            }
        };
        let id = label(&format!("job-{n}"));
        let mut job = Job::new(upstream(["a", "b", "c"][usize::from(plan.provider)]), needs(), call)
            .id(id.clone())
            .tenant(label(&format!("tenant-{}", plan.tenant)))
            .priority([Priority::High, Priority::Normal, Priority::Low][usize::from(plan.priority)])
            .deadline(Duration::from_millis(plan.deadline_ms));
        if let Some(attempts_max) = NonZeroU32::new(plan.attempts_max) {
            job = job.attempts_max(attempts_max);
        }
        handles.push(scheduler.submit(job).expect("room"));
        if let Some(ms) = plan.cancel_after_ms {
            let scheduler = scheduler.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                scheduler.cancel(&id);
            });
        }
    }
    tokio::time::sleep(Duration::from_millis(shutdown_after_ms / 2)).await;
    if let Some(dispatcher) = scheduler.dispatcher_actor().filter(|_| kill) {
        dispatcher.kill();
    }
    let jobs = handles.len();
    let report = within(60, scheduler.shutdown(Duration::from_millis(shutdown_after_ms))).await;
    assert!(report.left_behind.is_empty());
    for (n, handle) in handles.into_iter().enumerate() {
        if let Ok(answer) = within(1, handle).await {
            assert_eq!(answer, n);
        }
    }
    let ends = ends.0.lock().expect("nobody panics");
    assert!(ends.len() == jobs && ends.values().all(|times| *times == 1), "each job ends once: {ends:?}");
    recorder.expect_settled();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn each_job_ends_once_and_each_grant_is_completed_once(
        plans in proptest::collection::vec(plan(), 1..40),
        answers in proptest::collection::vec(answer(), 1..20),
        shutdown_after_ms in 0..4_000_u64,
        kill: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(run(plans, answers, shutdown_after_ms, kill));
    }
}
