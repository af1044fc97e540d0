//! What limits answer while the cluster does not: each by its own policy.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::Limits;
use crate::backends::memory::MemoryLedger;
use crate::backends::{Backend, LeaseView, Observer, Registered, Reply, SessionStatus};
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::{
    Amounts, Complete, Definition, Grant, Key, KeyPattern, Kind, LeaseError, LeaseId, Mode, Moment, Reason, Refusal,
    Renew, Reserve, Restraint, WhenUnavailable,
};

/// The policies in force, and this server's own shares.
pub(super) struct Away {
    /// The limits that go on without the ledger, as this server counts them by itself.
    shares: MemoryLedger,
    denied: AtomicU64,
    allowed: AtomicU64,
    shared: AtomicU64,
}

impl Away {
    pub(super) fn new(settings: &Settings, clock: Clock, observer: Arc<dyn Observer>) -> Self {
        let shares = MemoryLedger::new(clock, settings, observer);
        Self { shares, denied: AtomicU64::new(0), allowed: AtomicU64::new(0), shared: AtomicU64::new(0) }
    }

    /// Takes a definition in, for later.
    pub(super) fn apply(&self, registered: &Registered) {
        match share_of(&registered.definition) {
            Some(definition) => {
                let share = Registered { definition, version: registered.version };
                let _ = now(self.shares.apply(&Arc::new(share)));
            }
            None => self.remove(&registered.definition.pattern, registered.version),
        }
    }

    pub(super) fn remove(&self, pattern: &KeyPattern, version: u64) {
        let _ = now(self.shares.remove(pattern, version));
    }

    /// Decides without the ledger, which is away because of `why`.
    pub(super) fn reserve(&self, request: &Reserve, limits: &Limits, why: &str) -> Result<Grant, Box<Refusal>> {
        let policy = policy_of(&request.amounts, limits, why);
        let answer = policy.clone().and_then(|_| now(self.shares.reserve(request)));
        let counter = match (&answer, policy) {
            (Err(refusal), _) if matches!(refusal.reason, Reason::UnknownLimitKey(_)) => return answer,
            (Ok(_), Ok(Policy::Share)) => &self.shared,
            (Ok(_), _) => &self.allowed,
            (Err(_), _) => &self.denied,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Answers as a reservation would without the ledger, and charges and counts nothing.
    pub(super) fn peek(&self, amounts: &Amounts, limits: &Limits, why: &str) -> Result<(), Box<Refusal>> {
        policy_of(amounts, limits, why).and_then(|_| now(self.shares.peek(amounts)))
    }

    /// Whether it ever granted anything.
    fn has_granted(&self) -> bool {
        self.allowed.load(Ordering::Relaxed) != 0 || self.shared.load(Ordering::Relaxed) != 0
    }

    /// The answer to a reservation of which it granted the lease.
    pub(super) fn again(&self, request: &Reserve) -> Result<Grant, Box<Refusal>> {
        now(self.shares.reserve(request))
    }

    /// A lease that was granted here.
    pub(super) fn lease(&self, lease_id: LeaseId) -> Option<LeaseView> {
        if self.has_granted() { now(self.shares.lease(lease_id)).ok().flatten() } else { None }
    }

    /// Ends a lease that was granted here.
    pub(super) fn complete(&self, request: &Complete) -> Result<(), LeaseError> {
        now(self.shares.complete(request))
    }

    /// Renews a lease that was granted here.
    pub(super) fn renew(&self, request: &Renew) -> Result<Moment, LeaseError> {
        now(self.shares.renew(request))
    }

    /// What a provider asks for holds without the ledger too.
    pub(super) fn restrain(&self, key: &Key, restraint: Restraint) {
        let _ = now(self.shares.restrain(key, restraint));
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

/// What all limits of a call agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Allow,
    /// At least one of them counts.
    Share,
}

fn policy_of(amounts: &Amounts, limits: &Limits, why: &str) -> Result<Policy, Box<Refusal>> {
    let mut policy = Policy::Allow;
    for amount in amounts {
        let Some(registered) = limits.definition_of(&amount.key) else {
            return Err(Box::new(Refusal::permanent(Reason::UnknownLimitKey(amount.key.clone()))));
        };
        match registered.definition.when_unavailable {
            WhenUnavailable::Deny => return Err(Box::new(Refusal::permanent(Reason::BackendError(why.to_owned())))),
            WhenUnavailable::Allow => {}
            WhenUnavailable::LocalShare { .. } => policy = Policy::Share,
        }
    }
    Ok(policy)
}

/// The limit as this server counts it by itself: a part of it, or one that stops nobody. `None` if it grants nothing.
fn share_of(definition: &Definition) -> Option<Definition> {
    let percent = match definition.when_unavailable {
        WhenUnavailable::Deny => return None,
        WhenUnavailable::Allow => return Some(Definition { mode: Mode::Shadow, ..definition.clone() }),
        WhenUnavailable::LocalShare { percent } => percent,
    };
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
