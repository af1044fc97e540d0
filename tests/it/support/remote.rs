//! A ledger as it is behind a network: answers take a while, get lost, or do not come at all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tollgate::backends::memory::MemoryLedger;
use tollgate::backends::{
    Applied, Backend, BackendError, Health, LeaseView, Observer, Registered, Reply, SessionStatus, Settled, Totals,
    Usage, UsagePage,
};
use tollgate::clock::Clock;
use tollgate::config::Settings;
use tollgate::policy::{
    Amounts, Complete, Grant, Key, KeyPattern, LeaseError, LeaseId, Moment, Reason, Refusal, Renew, Reserve, Restraint,
};

/// What happens to what the ledger is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is done and answered.
    #[default]
    Up,
    /// It is not done, and the caller learns that nobody knows.
    Away,
    /// It is done, and the caller learns that nobody knows.
    Deaf,
    /// Too much is on its way: reservations and looks are refused, of all else nobody knows.
    Full,
}

/// The line to a ledger, in the hands of a test.
#[derive(Clone, Default)]
pub(crate) struct Remote(Arc<Shared>);

#[derive(Default)]
struct Shared {
    line: Mutex<Line>,
    delay_ms: AtomicU64,
    /// The other end, which others may use too.
    far: OnceLock<Arc<MemoryLedger>>,
    /// What this end decides by itself while the line is cut, if it does.
    near: OnceLock<MemoryLedger>,
    goes_on_alone: AtomicBool,
    closed: AtomicU64,
}

impl Remote {
    /// For [`tollgate::tollgate::TollgateBuilder::ledger`].
    pub(crate) fn ledger(&self) -> impl FnOnce(Clock, Arc<dyn Observer>) -> Arc<dyn Backend> + Send + 'static {
        let remote = self.clone();
        move |clock, observer| {
            let far = Arc::new(MemoryLedger::new(clock.clone(), &Settings::default(), Arc::clone(&observer)));
            assert!(remote.0.far.set(far).is_ok(), "one ledger for each line");
            let near = MemoryLedger::new(clock, &Settings::default(), observer);
            assert!(remote.0.near.set(near).is_ok(), "one ledger for each line");
            Arc::new(remote)
        }
    }

    pub(crate) fn set(&self, line: Line) {
        *self.0.line.lock().expect("only sets") = line;
    }

    /// How long every answer takes from now on.
    pub(crate) fn set_delay_ms(&self, delay_ms: u64) {
        self.0.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// From now on reservations are decided here while the line is cut, as limits say that are not `deny` then.
    pub(crate) fn go_on_alone(&self) {
        self.0.goes_on_alone.store(true, Ordering::Relaxed);
    }

    /// The ledger itself, as another server has it.
    pub(crate) fn far(&self) -> &Arc<MemoryLedger> {
        self.0.far.get().expect("it was made")
    }

    /// How often it was told that the runtime has ended.
    pub(crate) fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::Relaxed)
    }

    fn line(&self) -> Line {
        *self.0.line.lock().expect("only sets")
    }

    fn near(&self) -> &MemoryLedger {
        self.0.near.get().expect("it was made")
    }

    fn is_alone(&self) -> bool {
        self.line() == Line::Away && self.0.goes_on_alone.load(Ordering::Relaxed)
    }

    /// Asks this end about a lease that it has granted, and the other one about every other.
    fn ask_holder<T: Unknown>(&self, lease_id: LeaseId, act: impl FnOnce(&MemoryLedger) -> Reply<T>) -> Reply<T> {
        let Reply::Now(lease) = self.near().lease(lease_id) else { panic!("memory answers at once") };
        if lease.is_ok_and(|lease| lease.is_some()) { act(self.near()) } else { self.ask(act) }
    }

    fn ask<T: Unknown>(&self, act: impl FnOnce(&MemoryLedger) -> Reply<T>) -> Reply<T> {
        let answer = match self.line() {
            Line::Away | Line::Full => T::unknown(),
            line => {
                let Reply::Now(answer) = act(self.far()) else { panic!("memory answers at once") };
                if line == Line::Deaf { T::unknown() } else { answer }
            }
        };
        let delay = Duration::from_millis(self.0.delay_ms.load(Ordering::Relaxed));
        Reply::Later(Box::pin(async move {
            tokio::time::sleep(delay).await;
            answer
        }))
    }
}

/// An answer that says that there is none.
trait Unknown: Send + 'static {
    fn unknown() -> Self;
}

fn away() -> String {
    "the line is cut".to_owned()
}

impl<T: Send + 'static> Unknown for Result<T, BackendError> {
    fn unknown() -> Self {
        Err(BackendError(away()))
    }
}

impl<T: Send + 'static> Unknown for Result<T, LeaseError> {
    fn unknown() -> Self {
        Err(LeaseError::Backend(away()))
    }
}

impl<T: Send + 'static> Unknown for Result<T, Box<Refusal>> {
    fn unknown() -> Self {
        Err(Box::new(Refusal::permanent(Reason::BackendError(away()))))
    }
}

/// Gives a grant back that nobody waited for.
struct Unheard(Option<(Arc<MemoryLedger>, Complete)>);

impl Drop for Unheard {
    fn drop(&mut self) {
        if let Some((ledger, never_ran)) = self.0.take() {
            drop(ledger.give_back(&never_ran));
        }
    }
}

fn full<T: Send + 'static>() -> Reply<Result<T, Box<Refusal>>> {
    Reply::Later(Box::pin(async { Err(Box::new(Refusal::overloaded(Duration::from_secs(1)))) }))
}

impl Backend for Remote {
    fn kind(&self) -> &'static str {
        "remote"
    }

    fn apply(&self, registered: &Arc<Registered>) -> Reply<Result<Applied, BackendError>> {
        drop(self.near().apply(registered));
        self.ask(|far| far.apply(registered))
    }

    fn remove(&self, pattern: &KeyPattern, version: u64) -> Reply<Result<(), BackendError>> {
        drop(self.near().remove(pattern, version));
        self.ask(|far| far.remove(pattern, version))
    }

    fn definition_of(&self, key: &Key) -> Option<Arc<Registered>> {
        self.near().definition_of(key)
    }

    fn reserve(&self, request: &Reserve) -> Reply<Result<Grant, Box<Refusal>>> {
        if self.is_alone() {
            return self.near().reserve(request);
        }
        if self.line() == Line::Full {
            return full();
        }
        let Reply::Later(answer) = self.ask(|far| far.reserve(request)) else { unreachable!("it is always later") };
        let never_ran = Complete { lease_id: request.lease_id, actuals: request.amounts.zeroed() };
        let unheard = Unheard((self.line() == Line::Up).then(|| (Arc::clone(self.far()), never_ran)));
        Reply::Later(Box::pin(async move {
            let mut unheard = unheard;
            let answer = answer.await;
            unheard.0 = None;
            answer
        }))
    }

    fn restrain(&self, key: &Key, restraint: Restraint) -> Reply<Result<(), BackendError>> {
        let held_here = self.near().restrain(key, restraint);
        if self.is_alone() { held_here } else { self.ask(|far| far.restrain(key, restraint)) }
    }

    fn count_refusal(&self, refusal: &Refusal) {
        self.far().count_refusal(refusal);
    }

    fn peek(&self, amounts: &Amounts) -> Reply<Result<(), Box<Refusal>>> {
        match self.line() {
            _ if self.is_alone() => self.near().peek(amounts),
            Line::Full => full(),
            _ => self.ask(|far| far.peek(amounts)),
        }
    }

    fn complete(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        self.ask_holder(request.lease_id, |ledger| ledger.complete(request))
    }

    fn give_back(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        self.ask_holder(request.lease_id, |ledger| ledger.give_back(request))
    }

    fn renew(&self, request: &Renew) -> Reply<Result<Moment, LeaseError>> {
        self.ask_holder(request.lease_id, |ledger| ledger.renew(request))
    }

    fn lease(&self, lease_id: LeaseId) -> Reply<Result<Option<LeaseView>, BackendError>> {
        self.ask_holder(lease_id, |ledger| ledger.lease(lease_id))
    }

    fn usage(&self, key: &Key) -> Reply<Result<Option<Usage>, BackendError>> {
        self.ask(|far| far.usage(key))
    }

    fn usages(&self, cursor: u64, count: usize) -> Reply<Result<UsagePage, BackendError>> {
        self.ask(|far| far.usages(cursor, count))
    }

    fn settle(&self, key: &Key) -> Reply<Result<Settled, BackendError>> {
        self.ask(|far| far.settle(key))
    }

    fn watch(&self, key: &Key, watched: bool) {
        self.far().watch(key, watched);
    }

    fn sweep(&self) -> bool {
        self.far().sweep()
    }

    fn totals(&self) -> Totals {
        self.far().totals()
    }

    fn health(&self) -> Health {
        match self.line() {
            Line::Up | Line::Full => Health::Up,
            Line::Away | Line::Deaf => Health::Down(away()),
        }
    }

    fn session(&self) -> Option<SessionStatus> {
        let away_since_ms = Some(1_500);
        Some(SessionStatus { in_flight_max: 4_096, away_since_ms, timed_out: 7, ..SessionStatus::default() })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let remote = self.clone();
        Box::pin(async move {
            remote.0.closed.fetch_add(1, Ordering::Relaxed);
        })
    }
}
