//! The call of a job that was granted what it needs, and what its lease is completed with.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::FutureExt;

use super::{Attempt, Owed, cut_short, stopped, text_of};
use crate::client::Completion;
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
