//! The reservation of a job, and what a refusal means for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;

use super::{Attempt, text_of};
use crate::client::Attempt as Asked;
use crate::policy::{Deferral, Deferred, Grant, Labels, NextTry, Reason, Refusal, Reserve, next_try};
use crate::scheduler::job_handle::JobError;
use crate::scheduler::observer::JobEvent;
use crate::scheduler::report::count;
use crate::scheduler::task::Stop;

impl Attempt {
    pub(super) async fn reserve(&self) -> Result<Result<Grant, Box<Refusal>>, Stop> {
        let labels = Labels { job_id: Some(self.task.spec.id.clone()), tenant: self.task.spec.tenant.clone() };
        let (amounts, breaker) = (self.task.amounts.clone(), self.task.breaker.clone());
        let asked = Asked::from(Reserve { lease_id: self.lease_id, labels, amounts, breaker }).by(self.deadline);
        let shared = Arc::clone(&self.shared);
        let asking = AssertUnwindSafe(async move { shared.limiter.reserve(asked).await }).catch_unwind();
        tokio::select! {
            biased;
            stop = self.stopped() => Err(stop),
            answer = asking => Ok(answer.unwrap_or_else(|panic| {
                let problem = format!("the limiter panicked: {}", text_of(&*panic));
                Err(Box::new(Refusal::permanent(Reason::BackendError(problem))))
            })),
        }
    }

    pub(super) fn refused(mut self, refusal: &Refusal) {
        let deferral = match next_try(refusal, self.unknowns, fastrand::u64(..)) {
            NextTry::GiveUp => {
                return self.end_with(Err(JobError::Refused(Box::new(refusal.clone()))));
            }
            NextTry::SameLease { after } => {
                count(&self.shared.counters.unknown);
                self.shared.tell(&self.task, &JobEvent::Unknown { refusal, after });
                Deferral::SameLease { lease_id: self.lease_id, after }
            }
            NextTry::NewLease { after } => {
                count(&self.shared.counters.denied);
                self.shared.tell(&self.task, &JobEvent::Denied { refusal, after });
                Deferral::NewLease { after, at_least: wait_at_least(refusal).unwrap_or(after) }
            }
        };
        let Some(held) = self.held.take() else { return };
        let now = self.shared.clock.now();
        let deferred = self.shared.schedule().defer(held, deferral, now);
        match deferred {
            Deferred::Waiting => {}
            Deferred::Exhausted(ended) => {
                let (attempts, last) = (self.attempt, Box::new(refusal.clone()));
                self.shared.ended_waiting(ended, JobError::Denied { attempts, last });
            }
            Deferred::Cancelled(ended) => self.shared.ended_waiting(ended, JobError::Cancelled),
            Deferred::Stopped(ended) => self.shared.ended_waiting(ended, JobError::ShutDown),
        }
        self.shared.ended_under_way();
    }
}

/// How long a denial lasts at least, whatever completes; `None` if completions do not matter to it.
fn wait_at_least(refusal: &Refusal) -> Option<Duration> {
    let waits = refusal.denied.iter().map(|denied| denied.wait_at_least);
    if refusal.reason == Reason::Denied { waits.max() } else { None }
}
