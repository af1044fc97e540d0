//! What is this server's own: what providers ask of limits, and what was counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tigerbeetle_unofficial::Account;
use tigerbeetle_unofficial::core::error::CreateAccountErrorKind;

use super::books::{Books, Trouble};
use super::complete::{Ended, PERSISTENCE, RETRY_DELAY};
use crate::backends::SessionStatus;
use crate::policy::{Complete, Key, Kind, Moment, Refusal, Reserve, Restraint};

/// How long a grant is kept for whom it was made, after its deadline.
const GIVE_BACK_DELAY: Duration = Duration::from_secs(1);

/// What this server has counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) decided: AtomicU64,
    pub(super) granted: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) completed: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) late: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

impl Books {
    /// Makes accounts; those that are there already are no failure.
    pub(super) async fn make_accounts(&self, accounts: Vec<Account>) -> Result<(), Trouble> {
        let answer = self.session.create_accounts(accounts).await?;
        match answer.value.iter().find(|(_, kind)| !matches!(kind, CreateAccountErrorKind::Exists)) {
            None => Ok(()),
            Some((_, kind)) => Err(Trouble::Fault(format!("it refused to make an account: {kind:?}"))),
        }
    }

    /// Pauses a limit until then, as its provider asks. It ends by itself, and with this process.
    pub(super) fn pause(&self, key: &Key, until: Moment) {
        let now = self.clock.now();
        if until <= now {
            return; // Not worth an instance.
        }
        let Ok(limit) = self.limits.resolve(key, now) else { return };
        let mut state = limit.lock();
        state.restraints.pause(until);
        let paused_until = state.restraints.paused_until(now);
        drop(state);
        self.limits.count(key, |family| family.note_pause(paused_until));
    }

    /// Does what a provider asks of a limit. It ends by itself, and with this process.
    pub(super) async fn restrain(&self, key: &Key, restraint: Restraint) -> Result<(), Trouble> {
        let (remaining, until) = match restraint {
            Restraint::Pause { until } => {
                self.pause(key, until);
                return Ok(());
            }
            Restraint::Tighten { remaining, until } => (remaining, until),
        };
        let now = self.clock.now();
        if until <= now {
            return Ok(());
        }
        let Ok(limit) = self.limits.resolve(key, now) else { return Ok(()) };
        let Some(terms) = Trouble::unless_deleted(self.open(&limit).await)? else { return Ok(()) };
        if let Kind::Concurrency { .. } = terms.standing.kind {
            return Ok(());
        }
        let balances = self.balances(&[(Arc::clone(&limit), terms)]).await?;
        let surplus = balances[0].free.saturating_sub(remaining);
        if surplus != 0 {
            limit.lock().restraints.withhold(surplus, until);
        }
        Ok(())
    }

    /// Counts a refusal that a caller was told.
    pub(super) fn count_refusal(&self, refusal: &Refusal) {
        if !refusal.denied.is_empty() {
            Counts::add(&self.counts.denied);
        }
        for denied in &refusal.denied {
            if let Some(limit) = self.limits.existing(&denied.key) {
                limit.lock().counters.denied += 1;
                self.limits.count(&denied.key, |family| family.counters.denied += 1);
            }
        }
    }

    /// Gives back what may have been granted when its caller had been told otherwise, or was gone. Not at once: who is
    /// told that the outcome is unknown asks again under the same id, and takes it over.
    pub(super) async fn give_back_later(&self, request: &Reserve, is_granted: bool) {
        self.up_for(GIVE_BACK_DELAY).await;
        let nothing = Complete { lease_id: request.lease_id, actuals: request.amounts.zeroed() };
        match self.give_back(&nothing, is_granted).await {
            Ok(Ended::Now) => Counts::add(&self.counts.late),
            Ok(Ended::Before | Ended::Not) => {}
            Err(error) => {
                tracing::warn!(lease_id = %request.lease_id, %error, "a grant that nobody took ends by its own expiry");
            }
        }
    }

    /// Waits until the cluster was there for so long in all: while it is away, nobody can ask again.
    async fn up_for(&self, delay: Duration) {
        let began = self.clock.now();
        let (mut before, mut up) = (began, Duration::ZERO);
        while up < delay && before.since(began) < PERSISTENCE && !self.is_closed() {
            self.sleep(RETRY_DELAY).await;
            let now = self.clock.now();
            if !self.session.is_away() {
                up += now.since(before);
            }
            before = now;
        }
    }

    /// Whether nothing goes on by itself any more.
    pub(super) fn is_quiet(&self) -> bool {
        Arc::strong_count(&self.detached) == 1
    }

    pub(super) fn status(&self) -> SessionStatus {
        let late_grants_given_back = Counts::read(&self.counts.late);
        SessionStatus { late_grants_given_back, ..self.session.status() }
    }
}
