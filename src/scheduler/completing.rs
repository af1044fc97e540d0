//! How the leases of jobs end, also of those whose jobs are over.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::FutureExt;

use super::report::count;
use super::shared::Shared;
use super::task::Task;
use crate::client::Completion;
use crate::policy::LeaseId;

/// How long a completion may take. Not all limiters bound it, and a job that is being completed has its place among
/// those that run.
const COMPLETE_MAX: Duration = Duration::from_secs(10);

impl Shared {
    /// Gives back what a job may have been granted that will not use it. In a task of its own: nobody waits for it.
    pub(super) fn give_back(self: &Arc<Self>, lease_id: LeaseId, task: &Task) {
        let completion = Completion::never_ran(lease_id, &task.amounts);
        self.complete_later(completion);
    }

    pub(super) fn complete_later(self: &Arc<Self>, completion: Completion) {
        let lease_id = completion.request.lease_id;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(%lease_id, "no runtime is left to complete a lease; it ends by itself");
            return;
        };
        self.giving_back.fetch_add(1, Ordering::AcqRel);
        let giving = GivingBack(Arc::clone(self));
        runtime.spawn(async move { giving.0.complete(completion).await });
    }

    /// Completes a lease, as well as can be done: one that cannot be completed ends by itself.
    pub(super) async fn complete(&self, completion: Completion) {
        let lease_id = completion.request.lease_id;
        let completing = AssertUnwindSafe(async { self.limiter.complete(completion).await }).catch_unwind();
        let problem = match tokio::time::timeout(COMPLETE_MAX, completing).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "the limiter panicked".to_owned(),
            Err(_) => format!("no answer within {} s", COMPLETE_MAX.as_secs()),
        };
        count(&self.counters.not_completed);
        tracing::warn!(%lease_id, problem, "could not complete the lease of a job; it ends by itself");
    }
}

/// A lease that is being given back.
struct GivingBack(Arc<Shared>);

impl Drop for GivingBack {
    fn drop(&mut self) {
        self.0.giving_back.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_waiters();
    }
}
