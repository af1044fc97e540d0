//! A limiter that answers as it is told, and notes what it was asked.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::Instant;
use tollgate::Wait;
use tollgate::client::{Attempt, Completion, Limiter};
use tollgate::policy::{DeniedKey, Grant, LeaseError, LeaseId, Reason, Refusal, Renew, Reserve};

use crate::support::key;

/// What is answered to a reservation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Grant,
    Deny(Duration),
    /// Nobody knows; it was granted or not all the same.
    Unknown {
        granted: bool,
    },
    NeverFits,
    /// It did not look; it may have granted the same before.
    Overloaded,
    Hang,
    Panic,
}

/// A reservation that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) job: String,
    pub(super) lease_id: LeaseId,
    pub(super) at: Instant,
}

#[derive(Default)]
pub(super) struct Notes {
    pub(super) asked: Vec<Asked>,
    pub(super) granted: HashMap<LeaseId, u32>,
    pub(super) completed: Vec<Completion>,
}

type Decide = Box<dyn Fn(&Reserve, usize) -> Answer + Send + Sync>;

/// Answers by a function of the request and of how many were asked before.
pub(super) struct Recorder {
    decide: Decide,
    notes: Mutex<Notes>,
}

impl Recorder {
    pub(super) fn new(decide: impl Fn(&Reserve, usize) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { decide: Box::new(decide), notes: Mutex::default() })
    }

    /// Grants everything.
    pub(super) fn generous() -> Arc<Self> {
        Self::new(|_, _| Answer::Grant)
    }

    /// Gives these answers in turn, and then grants everything.
    pub(super) fn answering<const ANSWERS: usize>(answers: [Answer; ANSWERS]) -> Arc<Self> {
        Self::new(move |_, before| answers.get(before).copied().unwrap_or(Answer::Grant))
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics over it")
    }

    /// Each lease that was granted was completed once, and no other.
    #[track_caller]
    pub(super) fn expect_settled(&self) {
        let notes = self.notes();
        let mut completed = HashMap::new();
        for completion in &notes.completed {
            *completed.entry(completion.request.lease_id).or_insert(0) += 1;
        }
        for lease_id in notes.granted.keys() {
            assert_eq!(completed.get(lease_id), Some(&1), "a grant is completed once");
        }
        assert!(completed.values().all(|times| *times == 1), "nothing is completed twice");
    }

    /// What the only lease was completed with: the amount used, if it was said, and whether a fault was told.
    #[track_caller]
    pub(super) fn only_completion(&self) -> (Option<u128>, Option<&'static str>) {
        let notes = self.notes();
        assert_eq!((notes.granted.len(), notes.completed.len()), (1, 1));
        let completion = &notes.completed[0];
        let fault = completion.report.as_ref().map(|report| report.outcome.fault.map_or("none", |fault| fault.name()));
        (completion.request.actuals.iter().next().map(|amount| amount.amount), fault)
    }
}

fn refusal(answer: Answer) -> Box<Refusal> {
    Box::new(match answer {
        Answer::Deny(retry_after) => {
            let wait_at_least = retry_after;
            let denied = DeniedKey { key: key("tokens"), capacity: 1, available: 0, retry_after, wait_at_least };
            Refusal::of_keys(Reason::Denied, vec![denied])
        }
        Answer::NeverFits => Refusal::permanent(Reason::NeverFits(key("tokens"))),
        Answer::Overloaded => Refusal::overloaded(Duration::from_millis(100)),
        _ => Refusal::permanent(Reason::BackendError("no answer".to_owned())),
    })
}

impl Limiter for Recorder {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        let request = attempt.request;
        let answer = {
            let mut notes = self.notes();
            let answer = (self.decide)(&request, notes.asked.len());
            let job = request.labels.job_id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned());
            #[expect(clippy::disallowed_methods, reason = "notes when it was asked")]
            let at = Instant::now();
            notes.asked.push(Asked { job, lease_id: request.lease_id, at });
            if matches!(answer, Answer::Grant | Answer::Unknown { granted: true }) {
                *notes.granted.entry(request.lease_id).or_default() += 1;
            }
            answer
        };
        async move {
            match answer {
                Answer::Grant => Ok(Grant { lease_id: request.lease_id, reserved_at_unix_ms: 0 }),
                Answer::Hang => pending().await,
                Answer::Panic => panic!("as told"),
                Answer::Deny(_) | Answer::Unknown { .. } | Answer::NeverFits | Answer::Overloaded => {
                    Err(refusal(answer))
                }
            }
        }
        .boxed()
    }

    fn acquire(&self, attempt: Attempt, _: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.reserve(attempt)
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.notes().completed.push(completion);
        async { Ok(()) }.boxed()
    }

    fn renew(&self, _: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        async { Ok(Duration::from_secs(60)) }.boxed()
    }

    fn renew_within(&self, _: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        async { Ok(None) }.boxed()
    }
}
