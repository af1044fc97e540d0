//! A ledger under test, and what it was told.

mod time;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tollgate::backends::{Applied, Backend, Observer, Registered, Settled, Totals, Usage};
use tollgate::clock::Clock;
use tollgate::config::MemorySettings;
use tollgate::policy::retry_after::whole_ms;
use tollgate::policy::{
    Amounts, Complete, DefinitionFields, Key, LeaseError, LeaseId, LimitState, Moment, Reason, Refusal, Renew, Reserve,
    Restraint, Seconds,
};

use crate::support::differences::Differences;
use crate::support::place::{self, Place};
use crate::support::{checked, key, pattern, request, until, used};

/// A ledger, and how it differs from others.
pub(crate) struct Harness {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) differs: Differences,
    /// The clock that its moments are on.
    clock: Clock,
    freed: Arc<Freed>,
    next_version: AtomicU64,
    place: Place,
}

/// What the ledger has told its observer.
#[derive(Default)]
struct Freed(Mutex<Vec<Key>>);

impl Freed {
    /// The keys it was told of since the last look.
    fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *self.0.lock().expect("only pushes and takes"))
    }
}

impl Observer for Freed {
    fn capacity_freed(&self, key: &Key) {
        self.0.lock().expect("only pushes and takes").push(key.clone());
    }
}

/// The ledger in memory.
pub(crate) async fn memory() -> Harness {
    Harness::of(place::memory().await).await
}

/// The ledger in memory with other bounds.
pub(crate) async fn memory_with(memory: MemorySettings) -> Harness {
    Harness::of(place::memory().await.with(memory)).await
}

/// The ledger in TigerBeetle.
#[cfg(feature = "tigerbeetle")]
pub(crate) async fn tigerbeetle() -> Harness {
    Harness::of(place::tigerbeetle().await).await
}

impl Harness {
    async fn of(place: Place) -> Self {
        let (clock, freed) = (Clock::start(), Arc::<Freed>::default());
        let backend = place.ledger(clock.clone(), Arc::<Freed>::clone(&freed)).await;
        Self { backend, differs: place.differs, clock, freed, next_version: AtomicU64::new(1), place }
    }

    pub(crate) async fn put(&self, fields: DefinitionFields) -> LimitState {
        let version = self.next_version.fetch_add(1, Ordering::Relaxed);
        let registered = Arc::new(Registered { definition: checked(fields), version });
        match self.backend.apply(&registered).get().await.expect("it answers") {
            Applied::InForce(state) => state,
            Applied::Superseded { version } => panic!("version {version} is no newer one"),
        }
    }

    pub(crate) async fn put_all(&self, definitions: impl IntoIterator<Item = DefinitionFields>) {
        for fields in definitions {
            self.put(fields).await;
        }
    }

    pub(crate) async fn remove(&self, text: &str) {
        let version = self.next_version.load(Ordering::Relaxed) - 1; // No definition has a higher one.
        self.backend.remove(&pattern(text), version).get().await.expect("removed");
    }

    pub(crate) async fn send(&self, request: &Reserve) -> Result<LeaseId, Refusal> {
        let answer = self.backend.reserve(request).get().await.map_err(|refusal| *refusal);
        answer.inspect_err(|refusal| self.backend.count_refusal(refusal)).map(|grant| grant.lease_id)
    }

    pub(crate) async fn reserve(&self, requirements: &[(&str, u64)]) -> Result<LeaseId, Refusal> {
        self.send(&request(requirements)).await
    }

    /// Reserves what must fit.
    #[track_caller]
    pub(crate) fn grant(&self, requirements: &[(&str, u64)]) -> impl Future<Output = LeaseId> {
        let caller = std::panic::Location::caller();
        let (request, backend) = (request(requirements), Arc::clone(&self.backend));
        async move {
            let answer = backend.reserve(&request).get().await;
            answer.unwrap_or_else(|refusal| panic!("{caller}: {refusal}")).lease_id
        }
    }

    /// Reserves what must be refused.
    #[track_caller]
    pub(crate) fn refuse(&self, requirements: &[(&str, u64)]) -> impl Future<Output = Refusal> {
        let caller = std::panic::Location::caller();
        let (request, backend) = (request(requirements), Arc::clone(&self.backend));
        async move {
            let answer = backend.reserve(&request).get().await;
            let refusal = *answer.err().unwrap_or_else(|| panic!("{caller}: granted {:?}", request.amounts));
            backend.count_refusal(&refusal);
            refusal
        }
    }

    /// The `error` of a request that must be refused.
    #[track_caller]
    pub(crate) fn code(&self, requirements: &[(&str, u64)]) -> impl Future<Output = String> {
        let refusal = self.refuse(requirements);
        async move { refusal.await.reason.code() }
    }

    pub(crate) async fn peek(&self, requirements: &[(&str, u64)]) -> Result<(), Refusal> {
        let keyed = requirements.iter().map(|(text, amount)| (key(text), *amount));
        let amounts = Amounts::to_peek(keyed).expect("a good peek");
        self.backend.peek(&amounts).get().await.map_err(|refusal| *refusal)
    }

    pub(crate) async fn complete(&self, lease_id: LeaseId, actuals: &[(&str, u64)]) -> Result<(), LeaseError> {
        self.backend.complete(&Complete { lease_id, actuals: used(actuals) }).get().await
    }

    /// Completes a lease, which must be possible.
    #[track_caller]
    pub(crate) fn end(&self, lease_id: LeaseId, actuals: &[(&str, u64)]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let completing = self.backend.complete(&Complete { lease_id, actuals: used(actuals) });
        async move { completing.get().await.unwrap_or_else(|error| panic!("{caller}: {error}")) }
    }

    pub(crate) async fn renew(&self, lease_id: LeaseId, seconds: Option<u64>) -> Result<(), LeaseError> {
        let timeout = seconds.map(|seconds| Seconds::new(seconds).expect("a timeout"));
        self.backend.renew(&Renew { lease_id, timeout }).get().await.map(drop)
    }

    pub(crate) async fn restrain(&self, text: &str, restraint: Restraint) {
        self.backend.restrain(&key(text), restraint).get().await.expect("the ledger answers");
    }

    /// Lets the provider ask to wait for `ms` from now; says until when.
    pub(crate) async fn pause(&self, text: &str, ms: u64) -> Moment {
        let until = self.moment_in(ms);
        self.restrain(text, Restraint::Pause { until }).await;
        until
    }

    /// Lets the provider say what it has left until `ms` from now; says until when.
    pub(crate) async fn tighten(&self, text: &str, remaining: u64, ms: u64) -> Moment {
        let until = self.moment_in(ms);
        self.restrain(text, Restraint::Tighten { remaining, until }).await;
        until
    }

    pub(crate) async fn usage(&self, text: &str) -> Usage {
        self.backend.usage(&key(text)).get().await.expect("the ledger answers").expect("a limit with this key")
    }

    pub(crate) async fn available(&self, text: &str) -> u64 {
        self.usage(text).await.available
    }

    pub(crate) async fn settle(&self, text: &str) -> Settled {
        self.backend.settle(&key(text)).get().await.expect("the ledger answers")
    }

    pub(crate) async fn is_live(&self, lease_id: LeaseId) -> bool {
        let view = self.backend.lease(lease_id).get().await.expect("the ledger answers");
        view.is_some_and(|view| view.is_live)
    }

    /// A whole round of housekeeping, from wherever the last one ended.
    pub(crate) async fn sweep(&self) {
        while self.backend.sweep() {}
        while self.backend.sweep() {}
        self.pass(self.differs.housekeeping_ms_max).await;
    }

    /// Asserts that so many limits are in use: housekeeping leaves them, and drops all that are idle.
    pub(crate) async fn assert_in_use(&self, limits: u64) {
        self.sweep().await;
        let left = self.totals().limits;
        let is_right = if self.differs.forgets_idle_instances { left == limits } else { limits <= left };
        assert!(is_right, "{limits} limits are in use, and housekeeping leaves {left}");
    }

    pub(crate) fn totals(&self) -> Totals {
        self.backend.totals()
    }

    /// Asserts that the observer hears that `text` has freed.
    pub(crate) async fn assert_hears_of(&self, text: &str) {
        if self.differs.tells_only_what_frees {
            assert_eq!(self.freed.take(), [key(text)]);
        } else {
            until(10, text, async || self.freed.take().contains(&key(text))).await;
        }
    }

    /// Asserts that the observer was not told of `text`, nor of anything else that did not free.
    #[track_caller]
    pub(crate) fn assert_heard_nothing_of(&self, text: &str) {
        let heard = self.freed.take();
        let is_quiet = if self.differs.tells_only_what_frees { heard.is_empty() } else { !heard.contains(&key(text)) };
        assert!(is_quiet, "nobody watches `{text}`, and {heard:?} were told");
    }
}

/// The keys of a denial, with the milliseconds to wait for each.
pub(crate) fn denied(refusal: &Refusal) -> Vec<(&str, u64)> {
    assert_eq!(refusal.reason, Reason::Denied);
    refusal.denied.iter().map(|denied| (denied.key.as_str(), whole_ms(denied.retry_after))).collect()
}
