//! The handle a host holds: everything Tollgate does, as async methods.

mod breakers;
mod builder;
mod lease;
mod renewing;
#[cfg(feature = "server")]
mod serve;
mod status;

use std::borrow::Borrow;
use std::sync::Arc;

pub use crate::actors::Permit;
pub use breakers::Breaker;
pub use builder::{StartError, TollgateBuilder};
pub use lease::{CompleteError, Lease};
#[cfg(feature = "server")]
pub use serve::ServeError;
pub use status::{BackendStatus, LimitUsage, Status};

use ractor::ActorRef;

use crate::actors::{
    BackendMessage, CallError, Entry, RateLimiterMessage, RegistryError, RegistryMessage, RootMessage, Runtime, Wait,
};
use crate::backends::{BackendError, Health, LeaseView, Totals};
use crate::policy::{
    Amounts, CallReport, Complete, Definition, Key, KeyPattern, LeaseError, LeaseId, LimitState, Moment, PriceTable,
    Refusal, Reserve, Restraint,
};

/// A running Tollgate. Cheap to clone; when the last clone is dropped, the actors end.
#[derive(Clone)]
pub struct Tollgate {
    pub(crate) runtime: Arc<Runtime>,
    /// What actors of the runtime hold themselves does not keep it alive.
    _owner: Option<Arc<Owner>>,
}

impl std::fmt::Debug for Tollgate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tollgate").field("name", &self.runtime.name).finish_non_exhaustive()
    }
}

/// Ends the actors with the last handle.
struct Owner {
    root: ActorRef<RootMessage>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.root.stop(Some("the last handle was dropped".to_owned()));
    }
}

impl Tollgate {
    /// Begins to set one up.
    #[must_use]
    pub fn builder() -> TollgateBuilder {
        TollgateBuilder::default()
    }

    /// Reserves all that a call may use, or nothing.
    ///
    /// # Errors
    /// A [`Refusal`]: why, and when to try again under a new lease id. Dropping the returned [`Lease`] without
    /// completing it releases its concurrency and leaves everything else charged.
    pub async fn reserve(&self, request: impl Borrow<Reserve>) -> Result<Lease, Box<Refusal>> {
        let granted = self.runtime.reserve(request.borrow()).await?;
        Ok(Lease::new(granted, Arc::clone(&self.runtime)))
    }

    /// Reserves now or as soon as there is room, in the order of the line. Dropping the future leaves the line.
    ///
    /// # Errors
    /// A [`Refusal`] when `wait` is over, or when waiting does not help.
    pub async fn acquire(&self, request: Reserve, wait: Wait) -> Result<Lease, Box<Refusal>> {
        let granted = self.runtime.acquire(Arc::new(request), wait).await?;
        Ok(Lease::new(granted, Arc::clone(&self.runtime)))
    }

    /// Answers as [`Self::reserve`] would, and charges nothing.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub async fn peek(&self, amounts: &Amounts) -> Result<(), Box<Refusal>> {
        self.runtime.peek(amounts).await
    }

    /// Does what a provider asks of a limit: to pause, or to count on less. [`Self::now`] is the time it is told in. It
    /// never loosens anything, and ends by itself; a key without a limit has nothing to restrain.
    ///
    /// # Errors
    /// If the backend does not answer; it can be asked again.
    pub async fn restrain(&self, key: &Key, restraint: Restraint) -> Result<(), BackendError> {
        self.runtime.backend.restrain(key, restraint).get().await
    }

    /// Ends a lease by its id. One that is unknown or over is no error.
    ///
    /// # Errors
    /// [`LeaseError::KeyNotHeld`] if it names a key that was not reserved; nothing was changed then.
    pub async fn complete(&self, request: Complete) -> Result<(), LeaseError> {
        self.runtime.complete(&request).await
    }

    /// Ends a lease by its id, and tells how its call went: to the circuit breaker that it was reserved through, and to
    /// the limits it used what the provider said of them. An outcome counts once.
    ///
    /// # Errors
    /// As [`Self::complete`].
    pub async fn finish(&self, request: Complete, report: &CallReport) -> Result<(), LeaseError> {
        self.runtime.finish_by_id(&request, report).await
    }

    /// One lease; `None` if it is not known, or no longer.
    ///
    /// # Errors
    /// If the backend does not answer.
    pub async fn lease(&self, lease_id: LeaseId) -> Result<Option<LeaseView>, BackendError> {
        self.runtime.backend.lease(lease_id).get().await
    }

    /// What one limit has taken, and who waits for it; `None` if no definition covers the key.
    ///
    /// # Errors
    /// If the backend does not answer.
    pub async fn usage(&self, key: &Key) -> Result<Option<LimitUsage>, BackendError> {
        let usage = self.runtime.backend.usage(key).get().await?;
        Ok(usage.map(|usage| self.shown(usage)))
    }

    /// The limits that exist, from `cursor` on (0 is the beginning), and where the next page begins.
    ///
    /// # Errors
    /// If the backend does not answer.
    pub async fn usages(&self, cursor: u64, count: usize) -> Result<(Vec<LimitUsage>, Option<u64>), BackendError> {
        let page = self.runtime.backend.usages(cursor, count).get().await?;
        Ok((page.limits.into_iter().map(|usage| self.shown(usage)).collect(), page.next_cursor))
    }

    /// Defines a limit or changes one.
    ///
    /// # Errors
    /// A conflict, or a disk that refuses; nothing was changed then. Unless it is [`RegistryError::NotYetInForce`] or
    /// [`RegistryError::Contested`], where the change was saved, or [`RegistryError::Unavailable`], where nobody knows.
    pub async fn put_limit(&self, definition: Definition) -> Result<LimitState, RegistryError> {
        let put = |reply| RegistryMessage::Put(definition, reply);
        self.runtime.registry.call(put).await.map_err(unavailable)?
    }

    /// All definitions, in the order of their keys.
    ///
    /// # Errors
    /// If the registry does not answer.
    pub async fn limits(&self) -> Result<Vec<Entry>, RegistryError> {
        self.runtime.registry.ask(RegistryMessage::List).await.map_err(unavailable)
    }

    /// One definition.
    ///
    /// # Errors
    /// If the registry does not answer.
    pub async fn limit(&self, pattern: &KeyPattern) -> Result<Option<Entry>, RegistryError> {
        let get = |reply| RegistryMessage::Get(pattern.clone(), reply);
        self.runtime.registry.ask(get).await.map_err(unavailable)
    }

    /// Takes a definition out; returns what it was.
    ///
    /// # Errors
    /// A disk that refuses; nothing was changed then. Unless it is [`RegistryError::NotYetInForce`], where the change
    /// was saved, or [`RegistryError::Unavailable`], where nobody knows.
    pub async fn delete_limit(&self, pattern: &KeyPattern) -> Result<Option<Entry>, RegistryError> {
        let delete = |reply| RegistryMessage::Delete(pattern.clone(), reply);
        self.runtime.registry.call(delete).await.map_err(unavailable)?
    }

    /// Logs where `configured` differs from the definitions in force, which are the truth.
    pub fn report_difference(&self, configured: &[Definition]) {
        self.runtime.store.report_difference(configured);
    }

    /// The time on the runtime's clock, which every [`Moment`] it tells is on.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.runtime.clock.now()
    }

    /// The wall time, in milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.runtime.clock.unix_ms_at(self.now())
    }

    /// The tree of actors and the backend, as they stand.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.runtime)
    }

    /// What the backend has counted.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.runtime.backend.totals()
    }

    /// What the tokens of each model cost, to reserve and complete limits that count cost.
    #[must_use]
    pub fn prices(&self) -> &PriceTable {
        &self.runtime.settings.prices
    }

    /// How many values in what providers said of their limits made no sense. They changed nothing.
    #[must_use]
    pub fn signals_ignored(&self) -> u64 {
        self.runtime.signals_ignored()
    }

    /// How many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.runtime.limiters.lines.waiting()
    }

    /// Whether reservations can be decided: the backend answers, and the runtime is not shutting down.
    #[must_use]
    pub fn health(&self) -> Health {
        if self.runtime.is_closing() {
            return Health::Down("the runtime is shutting down".to_owned());
        }
        self.runtime.backend.health()
    }

    /// Makes reservations find nothing but `overloaded` and ends every wait with an answer, then ends the actors in
    /// order. Leases can be completed until the process ends. A second call finds nothing to do.
    pub async fn shutdown(&self) {
        self.runtime.close();
        if self.runtime.root.actor().is_none() {
            return; // A call would wait for it to start again.
        }
        // No answer: it has ended before, or fails, and ends that way.
        let _ = self.runtime.root.call(RootMessage::Stop).await;
        self.ended().await;
    }

    /// Waits until the runtime has ended, by [`Self::shutdown`] or because its actors died too often.
    pub async fn ended(&self) {
        self.runtime.root.ended().await;
    }

    /// The registry, for `ractor::call!` and `cast!`; `None` while it is being restarted.
    #[must_use]
    pub fn registry_actor(&self) -> Option<ActorRef<RegistryMessage>> {
        self.runtime.registry.actor()
    }

    /// The backend's actor, for requests over many limits as messages; `None` while it is being restarted.
    #[must_use]
    pub fn backend_actor(&self) -> Option<ActorRef<BackendMessage>> {
        self.runtime.backend_actor.actor()
    }

    /// The actor of one limit; `None` for a limit that has none now, as an instance of a template that nobody waits
    /// for.
    #[must_use]
    pub fn rate_limiter_actor(&self, key: &Key) -> Option<ActorRef<RateLimiterMessage>> {
        self.runtime.limiters.actor(key)
    }

    fn shown(&self, usage: crate::backends::Usage) -> LimitUsage {
        let waiters = self.runtime.limiters.lines.waiting_for(&usage.key);
        let paused_until_unix_ms = usage.paused_until.map(|until| self.runtime.clock.unix_ms_at(until));
        LimitUsage { usage, waiters, paused_until_unix_ms }
    }
}

fn unavailable(error: CallError) -> RegistryError {
    RegistryError::Unavailable(error.to_string())
}
