//! The hook that reserves what a call needs, keeps it while the call runs, and settles it after.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::context::CallContext;
use super::error::{BoxError, HookError};
use super::hook::{CallHook, HookState};
use super::record::{Closing, Lent};
use super::spec::CallSpec;
use super::watch;
use crate::actors::Wait;
use crate::policy::{Amounts, CallReport, Moment, Reason, Signals};
use crate::tollgate::{Lease, Tollgate};

/// Lets a call pass when there is room on all limits that its [`CallSpec`] names, and its breaker is not open; renews
/// its concurrency while it runs, ends it at its deadline, and settles with what was used.
///
/// It renews nothing yet while the hooks after it are asked: one that may wait for longer than its concurrency lasts
/// belongs before it.
#[derive(Debug)]
pub struct RateLimitHook {
    tollgate: Tollgate,
    spec: CallSpec,
    max_wait: Duration,
}

impl RateLimitHook {
    /// Takes part in calls that `spec` describes. Its retries are [`Tollgate::call`]'s to make, not a hook's.
    #[must_use]
    pub fn new(tollgate: Tollgate, spec: CallSpec) -> Self {
        let max_wait = spec.fields().max_wait;
        Self { tollgate, spec, max_wait }
    }

    /// The same with less time to wait.
    pub(super) fn waiting_at_most(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    async fn enter(&self, call: &CallContext) -> Result<HookState, HookError> {
        let (runtime, fields) = (&*self.tollgate.runtime, self.spec.fields());
        let needs = self.spec.needs(&runtime.settings)?;
        let wait = Wait { max_wait: self.max_wait, priority: fields.priority };
        let request = self.spec.reserve(needs.amounts.clone());
        let lease_id = request.lease_id;
        let lease = self.tollgate.acquire(request, wait).await.inspect_err(|refusal| {
            // Nobody else knows the id, and the next attempt has another.
            if matches!(refusal.reason, Reason::BackendError(_)) {
                runtime.disclaim(lease_id, &needs.amounts);
            }
        })?;
        call.lend(Lent {
            lease_id: lease.id(),
            amounts: &needs.amounts,
            cost_keys: &needs.cost_keys,
            price: needs.price,
            provider: fields.provider,
            deadline: fields.deadline,
            classify: Arc::clone(fields.classify.as_ref().unwrap_or(&runtime.classify)),
        });
        Ok(HookState::of(Guard {
            lease: Some(lease),
            call: call.clone(),
            amounts: needs.amounts,
            deadline: runtime.clock.now().after(fields.deadline),
            heeded: 0,
        }))
    }
}

impl CallHook for RateLimitHook {
    fn before_call<'a>(&'a self, call: &'a CallContext) -> BoxFuture<'a, Result<HookState, HookError>> {
        Box::pin(self.enter(call))
    }

    fn watch_call<'a>(&'a self, call: &'a CallContext, state: &'a mut HookState) -> BoxFuture<'a, HookError> {
        let Guard { lease, amounts, deadline, heeded, .. } = state.get_mut().expect("the state of this hook");
        let lease = lease.as_ref().expect("it is held while the call runs");
        let after = self.spec.fields().deadline;
        Box::pin(async move {
            let heeding = watch::heed(&self.tollgate, amounts, call, heeded);
            watch::until_deadline(&self.tollgate, lease, amounts, *deadline, heeding).await;
            HookError::TimedOut { after }
        })
    }

    fn after_call<'a>(
        &'a self,
        _: &'a CallContext,
        state: HookState,
        _: &'a CallReport,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        match state.take::<Guard>().and_then(|mut guard| guard.settle()) {
            Some(settling) => Box::pin(settling.map(Ok)),
            None => Box::pin(ready(Ok(()))),
        }
    }
}

/// The lease of an attempt. Dropping it settles with what the attempt reported up to then: what it used, or what it
/// reserved of the keys that it did not report; nothing if it never ran.
struct Guard {
    lease: Option<Lease>,
    call: CallContext,
    amounts: Amounts,
    /// On the clock of the lease, which need not be that of the call.
    deadline: Moment,
    /// The last of the call's answers of which what it says of limits is in force.
    heeded: u64,
}

impl Guard {
    fn settle(&mut self) -> Option<Settling> {
        let lease = self.lease.take()?;
        // An attempt that ended by itself is closed already.
        let mut report = self.call.close(Closing::Cancelled);
        if self.call.answers() == self.heeded {
            report.signals = Signals::default();
        }
        let (used, amounts) = (self.call.used_of(&self.amounts), std::mem::take(&mut self.amounts));
        Some(Settling(Some(Box::pin(async move {
            let lease_id = lease.id();
            if let Err(error) = lease.finish_over(&amounts, used, &report).await {
                tracing::warn!(%lease_id, %error, "could not settle a call");
            }
        }))))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.settle());
    }
}

/// Settles a lease; goes on by itself if it is dropped before it is done.
struct Settling(Option<BoxFuture<'static, ()>>);

impl Future for Settling {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(settling) = &mut self.0 else { return Poll::Ready(()) };
        std::task::ready!(settling.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(())
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let Some(mut settling) = self.0.take() else { return };
        if (&mut settling).now_or_never().is_some() {
            return; // As always with a ledger in memory.
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(settling);
        }
    }
}
