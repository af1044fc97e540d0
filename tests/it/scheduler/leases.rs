//! Which lease ids are asked for, when, and how leases are completed.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tollgate::policy::{Amounts, LeaseId};
use tollgate::scheduler::{ExecuteError, Executed, Job, JobError, Run, Scheduler};

use super::recorder::{Answer, Recorder};
use super::{job, needs, scheduler, upstream};
use crate::support::{key, label, within};

const MS: Duration = Duration::from_millis(1);

/// The lease ids that were asked for, numbered in the order in which they came first, and the milliseconds between.
fn asked(recorder: &Recorder) -> (Vec<usize>, Vec<u128>) {
    let notes = recorder.notes();
    let mut ids: Vec<LeaseId> = Vec::new();
    let numbers = notes.asked.iter().map(|asked| {
        ids.iter().position(|id| *id == asked.lease_id).unwrap_or_else(|| {
            ids.push(asked.lease_id);
            ids.len() - 1
        })
    });
    let numbers = numbers.collect();
    (numbers, notes.asked.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_denial_asks_for_a_new_lease_and_not_before_it_is_told_to() {
    let recorder = Recorder::answering([Answer::Deny(Duration::from_millis(700)), Answer::Deny(MS)]);
    let scheduler = scheduler(&recorder).await;
    within(10, scheduler.submit(job("a", 1)).expect("room")).await.expect("it runs");
    let (ids, waits) = asked(&recorder);
    assert_eq!(ids, [0, 1, 2]);
    assert!((700..=775).contains(&waits[0]), "{waits:?}");
    recorder.expect_settled();
    assert_eq!(scheduler.status().totals.denied, 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_answer_asks_for_the_same_lease_less_and_less_often() {
    for granted in [false, true] {
        let answer = move |_: &_, before| if before < 4 { Answer::Unknown { granted } } else { Answer::Grant };
        let recorder = Recorder::new(answer);
        let scheduler = scheduler(&recorder).await;
        within(10, scheduler.submit(job("a", 1)).expect("room")).await.expect("it runs");
        let (ids, waits) = asked(&recorder);
        assert_eq!(ids, [0; 5]);
        assert!(waits.is_sorted() && 50 <= waits[0] && waits[3] <= 500, "{waits:?}");
        recorder.expect_settled();
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_after_an_unknown_answer_asks_for_a_new_lease() {
    let recorder = Recorder::answering([Answer::Unknown { granted: false }, Answer::Deny(MS)]);
    let scheduler = scheduler(&recorder).await;
    within(10, scheduler.submit(job("a", 1)).expect("room")).await.expect("it runs");
    assert_eq!(asked(&recorder).0, [0, 0, 1]);
    recorder.expect_settled();
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_doubt_stays_so_while_the_server_is_overloaded() {
    let answers = [Answer::Unknown { granted: true }, Answer::Overloaded, Answer::Overloaded];
    let recorder = Recorder::answering(answers);
    let scheduler = scheduler(&recorder).await;
    within(10, scheduler.submit(job("a", 1)).expect("room")).await.expect("it runs");
    let (ids, waits) = asked(&recorder);
    assert!(ids == [0; 4] && 100 <= waits[1] && 100 <= waits[2], "{ids:?} {waits:?}");
    recorder.expect_settled();

    let recorder =
        Recorder::new(|_, before| if before == 0 { Answer::Unknown { granted: true } } else { Answer::Overloaded });
    let scheduler = self::scheduler(&recorder).await;
    let job = job("a", 1).deadline(Duration::from_secs(1));
    within(10, scheduler.submit(job).expect("room")).await.expect_err("it is too late");
    tokio::time::sleep(MS).await;
    recorder.expect_settled();
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_panics_leaves_it_unknown() {
    let recorder = Recorder::answering([Answer::Panic, Answer::Panic]);
    let scheduler = scheduler(&recorder).await;
    within(10, scheduler.submit(job("a", 1)).expect("room")).await.expect("it runs");
    assert_eq!(asked(&recorder).0, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_ends_the_job_at_once_and_nobody_else() {
    let recorder = Recorder::answering([Answer::NeverFits]);
    let scheduler = scheduler(&recorder).await;
    let first = scheduler.submit(job("a", 1)).expect("room");
    let second = scheduler.submit(job("a", 1)).expect("room");
    let error = within(1, first).await.expect_err("it never fits");
    assert_eq!(error.to_string(), "reservation refused: never_fits:tokens; the job was not run");
    within(1, second).await.expect("it runs");
    recorder.expect_settled();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_denied_as_often_as_it_may_fails() {
    let recorder = Recorder::new(|_, _| Answer::Deny(Duration::from_secs(1)));
    let scheduler = scheduler(&recorder).await;
    let job = job("a", 1).attempts_max(NonZeroU32::new(3).expect("three"));
    let error = within(10, scheduler.submit(job).expect("room")).await.expect_err("it is denied");
    assert!(matches!(error, JobError::Denied { attempts: 3, .. }), "{error}");
    assert_eq!(recorder.notes().asked.len(), 3);
}

/// Submits a job with this call, and gives out what it said in the end.
async fn ended<A, R>(scheduler: &Scheduler, call: impl FnOnce(Run) -> R + Send + 'static) -> Result<A, JobError>
where
    A: Send + 'static,
    R: Future<Output = Result<Executed<A>, ExecuteError>> + Send + 'static,
{
    let job = Job::new(upstream("a"), needs(), call).id(label("job")).deadline(Duration::from_secs(5));
    let handle = scheduler.submit(job).expect("room");
    let result = within(10, handle).await;
    // What is completed after the answer, is soon.
    tokio::time::sleep(MS).await;
    result
}

fn used(amount: u64) -> Amounts {
    Amounts::used([(key("tokens"), amount), (key("other"), 1)]).expect("good amounts")
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_completes_the_lease_once_with_what_was_used() {
    let check = async |completed: (Option<u128>, Option<&str>), told: &str, end: &str| {
        let recorder = Recorder::generous();
        let scheduler = scheduler(&recorder).await;
        let result = match end {
            "succeeds" => ended(&scheduler, |_| async { Ok(Executed::new("answer").used(used(42))) }).await,
            "fails" => ended(&scheduler, |_| async { Err(ExecuteError::failed("oh")) }).await,
            "fails with usage" => ended(&scheduler, |_| async { Err(ExecuteError::failed("oh").used(used(7))) }).await,
            "never ran" => ended(&scheduler, |_| async { Err(ExecuteError::never_ran("oh")) }).await,
            "panics" => ended(&scheduler, |_| async { panic!("oh") }).await,
            "is too late" => ended(&scheduler, |_| std::future::pending()).await,
            "is cancelled" => {
                let canceller = scheduler.clone();
                let cancel = async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    assert!(canceller.cancel(&label("job")));
                };
                tokio::spawn(cancel);
                ended(&scheduler, |_| std::future::pending()).await
            }
            other => panic!("no way to end: {other}"),
        };
        let result: Result<&str, JobError> = result;
        let said = result.map_or_else(|error| error.to_string(), str::to_owned);
        assert_eq!((said.as_str(), recorder.only_completion()), (told, completed), "{end}");
        recorder.expect_settled();
        assert!(scheduler.status().queues.is_empty());
    };
    check((Some(42), Some("none")), "answer", "succeeds").await;
    check((None, Some("other")), "the call failed: oh", "fails").await;
    check((Some(7), Some("other")), "the call failed: oh", "fails with usage").await;
    check((Some(0), None), "the call failed: oh", "never ran").await;
    check((None, Some("cancelled")), "the call panicked: oh", "panics").await;
    let too_late = "the deadline of the job has passed while it ran; allow more with `deadline`";
    check((None, Some("timeout")), too_late, "is too late").await;
    check((None, Some("cancelled")), "the job was cancelled", "is cancelled").await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_is_cancelled_by_a_shutdown_and_completed_once() {
    let recorder = Recorder::generous();
    let scheduler = scheduler(&recorder).await;
    let handle = scheduler.submit(job("a", 3_600_000).id(label("slow"))).expect("room");
    tokio::time::sleep(MS).await;
    let report = within(60, scheduler.shutdown(Duration::from_secs(2))).await;
    assert_eq!(report.cancelled, [label("slow")]);
    assert!(matches!(within(1, handle).await, Err(JobError::ShutDown)));
    assert_eq!(recorder.only_completion(), (None, Some("cancelled")));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_granted_is_given_back_when_its_job_ends_before_that_is_known() {
    for by_cancel in [true, false] {
        let recorder = Recorder::new(|_, _| Answer::Unknown { granted: true });
        let scheduler = scheduler(&recorder).await;
        let job = job("a", 1).id(label("job")).deadline(Duration::from_millis(500));
        let handle = scheduler.submit(job).expect("room");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!by_cancel || scheduler.cancel(&label("job")));
        within(1, handle).await.expect_err("it ends without an answer");
        tokio::time::sleep(MS).await;
        recorder.expect_settled();
        assert_eq!(recorder.only_completion(), (Some(0), None), "nothing was used");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_hangs_ends_with_its_job() {
    let recorder = Recorder::answering([Answer::Hang, Answer::Hang]);
    let scheduler = scheduler(&recorder).await;
    let late = scheduler.submit(job("a", 1).deadline(Duration::from_secs(1))).expect("room");
    let error = within(2, late).await.expect_err("it hangs");
    assert!(matches!(error, JobError::TooLate { has_begun: false }), "{error}");
    let cancelled = scheduler.submit(job("a", 1).id(label("job"))).expect("room");
    tokio::time::sleep(MS).await;
    assert!(scheduler.cancel(&label("job")));
    assert!(matches!(within(1, cancelled).await, Err(JobError::Cancelled)));
    within(1, scheduler.submit(job("a", 1)).expect("room")).await.expect("the next one runs");
    recorder.expect_settled();
    assert!(!scheduler.cancel(&label("job")), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_call_knows_its_lease_and_its_time() {
    let recorder = Recorder::answering([Answer::Deny(Duration::from_secs(1))]);
    let scheduler = scheduler(&recorder).await;
    let call = |run: Run| async move {
        Ok::<_, ExecuteError>(Executed::new((run.lease_id, run.attempt, run.time_left().as_millis())))
    };
    let job = Job::new(upstream("a"), needs(), call).deadline(Duration::from_secs(10));
    let (lease_id, attempt, left_ms) = within(10, scheduler.submit(job).expect("room")).await.expect("it runs");
    assert_eq!((lease_id, attempt), (Arc::clone(&recorder).notes().asked[1].lease_id, 2));
    assert!((8_800..=9_000).contains(&left_ms), "{left_ms}");
}
