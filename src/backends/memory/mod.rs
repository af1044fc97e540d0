//! The ledger in memory: exact, in process, no I/O. It forgets everything when the process ends.

mod lease_table;
mod ledger;
mod limit_table;
mod refusal;
mod views;

use std::sync::{Arc, Mutex, MutexGuard};

use super::{
    Applied, Backend, BackendError, Health, LeaseView, Observer, Registered, Reply, Settled, Totals, Usage, UsagePage,
};
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::{
    Amounts, Complete, Grant, Key, KeyPattern, LeaseError, LeaseId, Moment, Reason, Refusal, Renew, Reserve, Restraint,
};
use ledger::Ledger;

const POISONED: &str = "the ledger was left in the middle of a change by a panic; restart the process";

/// The ledger in memory. See [`Backend`] for what it does.
pub struct MemoryLedger {
    clock: Clock,
    observer: Arc<dyn Observer>,
    ledger: Mutex<Ledger>,
}

impl MemoryLedger {
    /// Empty books. `observer` is told when a watched limit may have room again.
    #[must_use]
    pub fn new(clock: Clock, settings: &Settings, observer: Arc<dyn Observer>) -> Self {
        Self { clock, observer, ledger: Mutex::new(Ledger::new(settings)) }
    }

    /// Runs `change` under the lock with the time, then tells the observer what it freed.
    fn locked<T>(&self, change: impl FnOnce(&mut Ledger, Moment) -> T) -> Result<T, BackendError> {
        let now = self.clock.now();
        let mut ledger = self.lock()?;
        let now = ledger.advance(now);
        let answer = change(&mut ledger, now);
        if ledger.freed.is_empty() {
            return Ok(answer);
        }
        let freed = std::mem::take(&mut ledger.freed);
        drop(ledger);
        freed.iter().for_each(|key| self.observer.capacity_freed(key));
        Ok(answer)
    }

    /// A panic under the lock may have left half a change: what follows would be decided on wrong books.
    fn lock(&self) -> Result<MutexGuard<'_, Ledger>, BackendError> {
        self.ledger.lock().map_err(|_| BackendError(POISONED.to_owned()))
    }
}

fn refused(error: BackendError) -> Box<Refusal> {
    Box::new(Refusal::permanent(Reason::BackendError(error.0)))
}

impl Backend for MemoryLedger {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn apply(&self, registered: &Arc<Registered>) -> Reply<Result<Applied, BackendError>> {
        Reply::Now(self.locked(|ledger, now| ledger.limits.apply(registered, now)))
    }

    fn remove(&self, pattern: &KeyPattern, _: u64) -> Reply<Result<(), BackendError>> {
        Reply::Now(self.locked(|ledger, now| {
            let gone = ledger.limits.remove(pattern, now);
            ledger.freed.extend(gone);
        }))
    }

    fn definition_of(&self, key: &Key) -> Option<Arc<Registered>> {
        self.lock().ok()?.limits.definition_of(key).cloned()
    }

    fn reserve(&self, request: &Reserve) -> Reply<Result<Grant, Box<Refusal>>> {
        let decide = |ledger: &mut Ledger, now| ledger.reserve(request, now, self.clock.unix_ms_at(now));
        Reply::Now(self.locked(decide).map_err(refused).flatten())
    }

    fn restrain(&self, key: &Key, restraint: Restraint) -> Reply<Result<(), BackendError>> {
        Reply::Now(self.locked(|ledger, now| ledger.restrain(key, restraint, now)))
    }

    fn count_refusal(&self, refusal: &Refusal) {
        // A poisoned ledger counts nothing any more.
        let _ = self.locked(|ledger, now| ledger.count_refusal(refusal, now));
    }

    fn peek(&self, amounts: &Amounts) -> Reply<Result<(), Box<Refusal>>> {
        Reply::Now(self.locked(|ledger, now| ledger.peek(amounts, now)).map_err(refused).flatten())
    }

    fn complete(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        let done = self.locked(|ledger, now| ledger.complete(request, now));
        Reply::Now(done.map_err(LeaseError::from).flatten())
    }

    fn give_back(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        let done = self.locked(|ledger, now| ledger.give_back(request, now));
        Reply::Now(done.map_err(LeaseError::from).flatten())
    }

    fn renew(&self, request: &Renew) -> Reply<Result<Moment, LeaseError>> {
        let done = self.locked(|ledger, now| ledger.renew(request, now));
        Reply::Now(done.map_err(LeaseError::from).flatten())
    }

    fn lease(&self, lease_id: LeaseId) -> Reply<Result<Option<LeaseView>, BackendError>> {
        Reply::Now(self.locked(|ledger, now| ledger.lease_view(lease_id, now)))
    }

    fn usage(&self, key: &Key) -> Reply<Result<Option<Usage>, BackendError>> {
        Reply::Now(self.locked(|ledger, now| ledger.usage(key, now)))
    }

    fn usages(&self, cursor: u64, count: usize) -> Reply<Result<UsagePage, BackendError>> {
        Reply::Now(self.locked(|ledger, now| ledger.usages(cursor, count, now)))
    }

    fn settle(&self, key: &Key) -> Reply<Result<Settled, BackendError>> {
        Reply::Now(self.locked(|ledger, now| ledger.settle(key, now)))
    }

    fn watch(&self, key: &Key, watched: bool) {
        // A poisoned ledger answers nobody, so there is nothing to hear of.
        let _ = self.locked(|ledger, now| {
            // One that is watched is made if need be, so that it stays: a new one would not know that it is watched.
            let index =
                if watched { ledger.limits.resolve(key, &[], now).ok() } else { ledger.limits.existing(key, now) };
            if let Some(index) = index {
                ledger.limits.slot_mut(index).watched = watched;
            }
        });
    }

    fn sweep(&self) -> bool {
        let round_ended = self.locked(Ledger::sweep_step).unwrap_or(true);
        if round_ended {
            self.clock.follow_wall_clock();
        }
        !round_ended
    }

    fn totals(&self) -> Totals {
        self.locked(|ledger, now| ledger.totals(now)).unwrap_or_default()
    }

    fn health(&self) -> Health {
        match self.lock() {
            Ok(_) => Health::Up,
            Err(error) => Health::Down(error.0),
        }
    }
}
