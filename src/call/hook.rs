//! What is done before, beside and after a call.

use std::any::Any;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;

use super::context::CallContext;
use super::error::{BoxError, HookError};
use crate::clock::Clock;
use crate::policy::CallReport;

/// What a hook keeps from before a call until after it: a guard, mostly. It is dropped instead of being handed to
/// [`CallHook::after_call`] when the call is cancelled or panics, and its `Drop` must then do what is right.
#[derive(Default)]
pub struct HookState(Option<Box<dyn Any + Send>>);

impl HookState {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Keeps `state`.
    #[must_use]
    pub fn of<T: Any + Send>(state: T) -> Self {
        Self(Some(Box::new(state)))
    }

    /// What was kept, to look at or change; `None` if it is of another type.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.downcast_mut()
    }

    /// What was kept; `None` if it is of another type.
    #[must_use]
    pub fn take<T: Any>(self) -> Option<T> {
        self.0?.downcast().ok().map(|state| *state)
    }
}

impl fmt::Debug for HookState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookState").field(&self.0.is_some()).finish()
    }
}

/// Takes part in calls. The hooks of a call are asked in order before it, and in reverse order after it, as scopes
/// that lie in each other.
pub trait CallHook: Send + Sync {
    /// Before the call. An error refuses it: later hooks are not asked, the call does not run, and hooks that have let
    /// it pass are told so by [`Self::after_call`], with [`Fault::Cancelled`](crate::policy::Fault::Cancelled).
    fn before_call<'a>(&'a self, call: &'a CallContext) -> BoxFuture<'a, Result<HookState, HookError>>;

    /// Runs beside the call and is dropped with it. If it ends first, so does the call, with this error. By default
    /// it never ends.
    fn watch_call<'a>(&'a self, call: &'a CallContext, state: &'a mut HookState) -> BoxFuture<'a, HookError> {
        let _ = (call, state);
        Box::pin(pending())
    }

    /// After the call, whatever became of it, if [`Self::before_call`] let it pass. An error or a panic in here is
    /// logged and counted, and changes nothing of the call's result. Not called when the call was cancelled or
    /// panicked: then `state` is dropped.
    fn after_call<'a>(
        &'a self,
        call: &'a CallContext,
        state: HookState,
        report: &'a CallReport,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

/// The hooks of [`run_call`](super::run_call), in the order in which they are asked before a call.
pub struct CallHooks {
    hooks: Vec<Arc<dyn CallHook>>,
    failures: AtomicU64,
    clock: Clock,
}

impl CallHooks {
    /// These hooks, the outermost first.
    pub fn new(hooks: impl IntoIterator<Item = Arc<dyn CallHook>>) -> Self {
        Self { hooks: hooks.into_iter().collect(), failures: AtomicU64::new(0), clock: Clock::start() }
    }

    /// How often a hook failed after a call.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn parts(&self) -> (Vec<&dyn CallHook>, &AtomicU64, &Clock) {
        (self.hooks.iter().map(|hook| &**hook).collect(), &self.failures, &self.clock)
    }
}

impl fmt::Debug for CallHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHooks").field("hooks", &self.hooks.len()).field("failures", &self.failures).finish()
    }
}
