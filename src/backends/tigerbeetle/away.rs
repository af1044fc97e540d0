//! What limits answer while the cluster does not: each by its own policy.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::Limits;
use crate::backends::memory::MemoryLedger;
use crate::backends::{Backend, Observer, Registered, Reply, SessionStatus};
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::{
    Complete, Definition, Grant, Key, KeyPattern, Kind, LeaseError, Moment, Reason, Refusal, Renew, Reserve,
    WhenUnavailable,
};

/// The policies in force, and this server's own shares.
pub(super) struct Away {
    /// The limits of which this server has a share, with its capacity.
    shares: MemoryLedger,
    clock: Clock,
    denied: AtomicU64,
    allowed: AtomicU64,
    shared: AtomicU64,
}

impl Away {
    pub(super) fn new(settings: &Settings, clock: Clock, observer: Arc<dyn Observer>) -> Self {
        let shares = MemoryLedger::new(clock.clone(), settings, observer);
        Self { shares, clock, denied: AtomicU64::new(0), allowed: AtomicU64::new(0), shared: AtomicU64::new(0) }
    }

    /// Takes a definition in, for later.
    pub(super) fn apply(&self, registered: &Registered) {
        match share_of(&registered.definition) {
            Some(definition) => {
                let share = Registered { definition, version: registered.version };
                let _ = now(self.shares.apply(&Arc::new(share)));
            }
            None => self.remove(&registered.definition.pattern),
        }
    }

    pub(super) fn remove(&self, pattern: &KeyPattern) {
        let _ = now(self.shares.remove(pattern));
    }

    /// Decides without the ledger, which is away because of `why`.
    pub(super) fn reserve(&self, request: &Reserve, limits: &Limits, why: &str) -> Result<Grant, Box<Refusal>> {
        let mut shares = Vec::new();
        for amount in &request.amounts {
            let Some(registered) = limits.definition_of(&amount.key) else {
                return Err(Box::new(Refusal::permanent(Reason::UnknownLimitKey(amount.key.clone()))));
            };
            match registered.definition.when_unavailable {
                WhenUnavailable::Deny => {
                    self.denied.fetch_add(1, Ordering::Relaxed);
                    return Err(Box::new(Refusal::permanent(Reason::BackendError(why.to_owned()))));
                }
                WhenUnavailable::Allow => {}
                WhenUnavailable::LocalShare { .. } => shares.push(amount.clone()),
            }
        }
        if shares.is_empty() {
            self.allowed.fetch_add(1, Ordering::Relaxed);
            let reserved_at_unix_ms = self.clock.unix_ms_at(self.clock.now());
            return Ok(Grant { lease_id: request.lease_id, reserved_at_unix_ms });
        }
        let share = Reserve { amounts: shares.into_iter().collect(), ..request.clone() };
        let answer = now(self.shares.reserve(&share));
        let counter = if answer.is_ok() { &self.shared } else { &self.denied };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Ends what this server granted out of its own share; says whether it was such a lease.
    pub(super) fn complete(&self, request: &Complete) -> Result<bool, LeaseError> {
        let Ok(Some(lease)) = now(self.shares.lease(request.lease_id)) else { return Ok(false) };
        let is_held = |key: &Key| lease.holds.iter().any(|hold| hold.key == *key);
        let actuals = request.actuals.iter().filter(|actual| is_held(&actual.key)).cloned().collect();
        now(self.shares.complete(&Complete { lease_id: request.lease_id, actuals })).map(|()| true)
    }

    /// The same for renewing.
    pub(super) fn renew(&self, request: &Renew) -> Option<Result<Moment, LeaseError>> {
        let lease = now(self.shares.lease(request.lease_id)).ok().flatten()?;
        lease.is_live.then(|| now(self.shares.renew(request)))
    }

    pub(super) fn tidy(&self) {
        self.shares.sweep();
    }

    /// Adds what was decided here.
    pub(super) fn add_to(&self, status: SessionStatus) -> SessionStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SessionStatus {
            denied_while_away: count(&self.denied),
            allowed_while_away: count(&self.allowed),
            shared_while_away: count(&self.shared),
            ..status
        }
    }
}

/// The part of a limit that this server grants by itself; `None` if it grants none.
fn share_of(definition: &Definition) -> Option<Definition> {
    let WhenUnavailable::LocalShare { percent } = definition.when_unavailable else { return None };
    // At least one: a limit that admits nothing would be `deny`.
    let part = |whole: NonZeroU64| NonZeroU64::new(percent.of(whole.get())).unwrap_or(NonZeroU64::MIN);
    let kind = match definition.kind {
        Kind::TokenBucket { refill_amount, refill_period } => {
            Kind::TokenBucket { refill_amount: part(refill_amount), refill_period }
        }
        kind => kind,
    };
    Some(Definition { capacity: part(definition.capacity), kind, ..definition.clone() })
}

/// A ledger in memory answers at once.
fn now<T>(reply: Reply<T>) -> T {
    match reply {
        Reply::Now(answer) => answer,
        Reply::Later(_) => unreachable!("the ledger in memory waits for nothing"),
    }
}
