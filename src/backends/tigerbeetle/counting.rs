//! What is this server's own: what providers ask of limits, and what was counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tigerbeetle_unofficial::core::error::CreateAccountErrorKind;

use super::books::{Books, Counts, Trouble};
use crate::backends::SessionStatus;
use crate::policy::{Complete, Key, Kind, Refusal, Reserve, Restraint};

impl Books {
    /// Makes what all limits share.
    pub(super) async fn make_shared_accounts(&self) -> Result<(), Trouble> {
        let answer = self.session.create_accounts(self.chart.shared_accounts()).await?;
        match answer.value.iter().find(|(_, kind)| !matches!(kind, CreateAccountErrorKind::Exists)) {
            None => Ok(()),
            Some((_, kind)) => Err(Trouble::Fault(format!("it refused to make an account: {kind:?}"))),
        }
    }

    /// Does what a provider asks of a limit. It ends by itself, and with this process.
    pub(super) async fn restrain(&self, key: &Key, restraint: Restraint) -> Result<(), Trouble> {
        let now = self.clock.now();
        if restraint.until() <= now {
            return Ok(()); // Not worth an instance.
        }
        let Ok(limit) = self.limits.resolve(key, now) else { return Ok(()) };
        match restraint {
            Restraint::Pause { until } => limit.lock().restraints.pause(until),
            Restraint::Tighten { remaining, until } => {
                let terms = self.open(&limit).await?;
                if let Kind::Concurrency { .. } = terms.standing.kind {
                    return Ok(());
                }
                let balances = self.balances(&[(Arc::clone(&limit), terms)]).await?;
                let surplus = balances[0].free.saturating_sub(remaining);
                if surplus != 0 {
                    limit.lock().restraints.withhold(surplus, until);
                }
            }
        }
        let paused_until = limit.lock().restraints.paused_until(now);
        self.limits.count(key, |family| family.note_pause(paused_until));
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

    /// Gives back a grant that came when its caller had been told otherwise, or was gone.
    pub(super) async fn give_back_late(&self, request: &Reserve) {
        self.counts.late.fetch_add(1, Ordering::Relaxed);
        let nothing = Complete { lease_id: request.lease_id, actuals: request.amounts.zeroed() };
        if let Err(error) = self.give_back(&nothing).await {
            tracing::warn!(lease_id = %request.lease_id, %error, "a grant that nobody took ends by its own expiry");
        }
    }

    /// Whether nothing is on its way, and nothing waits for the cluster to answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.session.status().in_flight == 0 && self.patience.is_idle()
    }

    pub(super) fn status(&self) -> SessionStatus {
        let late_grants_given_back = self.counts.late.load(Ordering::Relaxed);
        SessionStatus { late_grants_given_back, ..self.session.status() }
    }
}
