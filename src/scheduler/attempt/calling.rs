//! The call of a job that was granted what it needs: its lease is renewed meanwhile, and completed when it is over.

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::FutureExt;

use super::{Attempt, Owed, cut_short, stopped, text_of};
use crate::client::{Completion, keep_renewed};
use crate::policy::{Amounts, Complete, Fault, Grant};
use crate::scheduler::execute::Run;
use crate::scheduler::job_handle::JobError;
use crate::scheduler::observer::JobEvent;
use crate::scheduler::report::count;
use crate::scheduler::task::Stop;

impl Attempt {
    pub(super) async fn granted(mut self, grant: Grant) {
        (self.owed, self.was_granted) = (Owed::Granted, true);
        if let Some(held) = &self.held {
            self.shared.schedule().granted(held);
        }
        self.shared.wake(); // Others of its queue may be tried now.
        count(&self.shared.counters.granted);
        self.shared.tell(&self.task, &JobEvent::Granted { lease_id: grant.lease_id, attempt: self.attempt });
        // Who is to end does not begin.
        if let Some(stop) = self.stopped().now_or_never() {
            self.answer(Err(stopped(stop, false)));
            let completion = self.never_ran();
            return self.complete(completion, Err(stopped(stop, false))).await;
        }
        self.shared.tell(&self.task, &JobEvent::Started);
        self.call().await;
    }

    /// Makes the call, and completes its lease. Whoever waits is told at once of what ends the call from outside, and
    /// after the completion of what it ended with itself: what it did not use is free then.
    async fn call(mut self) {
        let Some(call) = self.task.take_call() else { return };
        let run = Run { lease_id: self.lease_id, attempt: self.attempt, deadline: self.deadline };
        let began_at = self.shared.clock.now();
        self.owed = Owed::Running;
        let mut calling = Box::pin(AssertUnwindSafe(async move { call(run).await }).catch_unwind());
        let result = tokio::select! {
            biased;
            result = &mut calling => Ok(result),
            stop = self.stopped() => Err(stop),
            never = self.keep_renewed() => match never {},
        };
        // A call that panics while it is dropped has ended all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(calling)));
        let (used, result) = match result {
            Ok(Ok(Ok(used))) => (used, Ok(())),
            Ok(Ok(Err(mut error))) => (error.used_of(&self.task.amounts), Err(JobError::Failed(error))),
            Ok(Err(panic)) => (cut_short(Fault::Cancelled), Err(JobError::Panicked(text_of(&*panic)))),
            Err(stop) => {
                self.answer(Err(stopped(stop, true)));
                let fault = if stop == Stop::TooLate { Fault::Timeout } else { Fault::Cancelled };
                (cut_short(fault), Err(stopped(stop, true)))
            }
        };
        let mut report = used.report;
        if let Some(report) = &mut report {
            report.outcome.latency.get_or_insert_with(|| self.shared.clock.now().since(began_at));
        }
        let request = Complete { lease_id: self.lease_id, actuals: self.of_lease(used.actuals) };
        self.complete(Completion { request, report }, result).await;
    }

    /// Completes the lease, then tells the result, if whoever waits was told no other before.
    async fn complete(mut self, completion: Completion, result: Result<(), JobError>) {
        self.owed = Owed::Nothing;
        self.shared.complete(completion).await;
        self.end_with(result);
    }

    /// Keeps the slots of a call that takes long. Whatever becomes of them, the call goes on.
    async fn keep_renewed(&self) -> Infallible {
        if !self.task.amounts.is_empty() {
            let shared = &self.shared;
            let keeping = keep_renewed(&*shared.limiter, &shared.clock, self.lease_id);
            match AssertUnwindSafe(keeping).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => shared.tell(&self.task, &JobEvent::LeaseLost),
                Err(panic) => {
                    let (lease_id, problem) = (self.lease_id, text_of(&*panic));
                    tracing::warn!(%lease_id, problem, "the limiter panicked over a renewal; it is not renewed any more");
                }
            }
        }
        pending().await
    }

    /// What was used of what the lease holds: a completion that names anything else would not be carried out.
    fn of_lease(&self, actuals: Amounts) -> Amounts {
        let is_held = |key| self.task.amounts.iter().any(|amount| amount.key == key);
        let (held, others): (Vec<_>, Vec<_>) = actuals.iter().cloned().partition(|amount| is_held(amount.key.clone()));
        if let Some(other) = others.first() {
            let job_id = self.task.spec.id.as_str();
            tracing::warn!(job_id, key = %other.key, "a job says that it used what it had not reserved");
        }
        held.into_iter().collect()
    }
}
