//! The end of a call: its lease, its circuit breaker, and what its provider said of the limits it used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;

use super::breakers::Permit;
use super::runtime::Runtime;
use crate::backends::Reply;
use crate::policy::{
    Amounts, CallLimit, CallReport, Class, Complete, Grant, Key, Kind, LeaseError, LeaseId, Restraint, SignalRestraint,
    concerned_limits,
};

/// The most reservations in doubt that are given back again and again at once.
pub(super) const DISCLAIMERS_MAX: usize = 1_024;

/// Until one is given back again.
const DISCLAIM_DELAYS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// A reservation, and the way through the circuit breaker if it named one.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) permit: Option<Permit>,
}

impl Runtime {
    /// Gives a grant to somebody who will come back with its id: the runtime keeps the permit until then.
    pub(crate) fn detach(&self, granted: Granted) -> Grant {
        if let Some(permit) = granted.permit {
            self.hold_permit(granted.grant.lease_id, permit);
        }
        granted.grant
    }

    /// Keeps a permit until somebody comes with its id, or until it is too old.
    pub(crate) fn hold_permit(&self, id: LeaseId, permit: Permit) {
        self.permits().hold(id, permit, self.clock.now());
    }

    /// The permit that was kept under `id`.
    pub(crate) fn take_permit(&self, id: LeaseId) -> Option<Permit> {
        self.permits().take(id, self.clock.now())
    }

    /// Gives back a reservation of which nobody knows whether it was granted, and that nobody will use. In the
    /// background, and again while the ledger does not answer; where even that is in vain, the holds end by themselves.
    pub(crate) fn disclaim(&self, lease_id: LeaseId, amounts: &Amounts) {
        let never_ran = Complete { lease_id, actuals: amounts.zeroed() };
        let Reply::Later(mut told) = self.backend.give_back(&never_ran) else { return };
        let turn = Arc::clone(&self.disclaimers).try_acquire_owned();
        let (Ok(turn), Ok(tasks)) = (turn, Handle::try_current()) else { return }; // It goes on, once.
        let backend = Arc::clone(&self.backend);
        tasks.spawn(async move {
            let _turn = turn;
            for delay in DISCLAIM_DELAYS {
                if !matches!(told.await, Err(LeaseError::Backend(_))) {
                    return;
                }
                tokio::time::sleep(delay).await;
                told = Box::pin(backend.give_back(&never_ran).get());
            }
            if let Err(error) = told.await {
                tracing::warn!(%lease_id, %error, "could not give back a reservation that may have been granted");
            }
        });
    }

    /// Ends a lease whose caller does not say how its call went: neutral for the breaker.
    pub(crate) async fn complete(&self, request: &Complete) -> Result<(), LeaseError> {
        self.backend.complete(request).get().await?;
        drop(self.take_permit(request.lease_id));
        Ok(())
    }

    /// Ends a lease by its id, and takes in how its call went.
    pub(crate) async fn finish_by_id(&self, request: &Complete, report: &CallReport) -> Result<(), LeaseError> {
        self.restrain(request.lease_id, report).await;
        let completed = self.backend.complete(request).get().await;
        // How the call went does not depend on whether the ledger answers; a request with a mistake comes again.
        if !matches!(completed, Err(LeaseError::KeyNotHeld(_)))
            && let Some(permit) = self.take_permit(request.lease_id)
        {
            self.record(permit, report);
        }
        completed
    }

    /// Tells the breaker how the call went.
    pub(crate) fn record(&self, permit: Permit, report: &CallReport) {
        permit.record(self.class_of(report), &report.outcome);
    }

    /// What the outcome says about the upstream.
    pub(crate) fn class_of(&self, report: &CallReport) -> Class {
        report.class.unwrap_or_else(|| self.classify.classify(&report.outcome))
    }

    /// Puts in force what the provider said of the limits that the lease holds. To be done before the lease ends: what
    /// it frees is not to be granted into a pause.
    pub(crate) async fn restrain(&self, lease_id: LeaseId, report: &CallReport) {
        let Some(restraints) = self.restraints_of(report) else { return };
        // Of one that is over the same was told before.
        let lease = self.backend.lease(lease_id).get().await.ok().flatten();
        let keys: Vec<Key> = lease.into_iter().flat_map(|lease| lease.holds).map(|held| held.key).collect();
        self.put_in_force(keys.iter(), report, &restraints).await;
    }

    /// The same for the limits of `amounts`, whatever is still held of them.
    pub(crate) async fn restrain_limits(&self, amounts: &Amounts, report: &CallReport) {
        let Some(restraints) = self.restraints_of(report) else { return };
        self.put_in_force(amounts.iter().map(|amount| &amount.key), report, &restraints).await;
    }

    /// `None` if the report says nothing of limits.
    fn restraints_of(&self, report: &CallReport) -> Option<Vec<SignalRestraint>> {
        let now = self.clock.now();
        let restraints = report.restraints(now, self.clock.unix_ms_at(now));
        (!restraints.is_empty() || report.signals.ignored != 0).then_some(restraints)
    }

    async fn put_in_force(
        &self,
        keys: impl Iterator<Item = &Key>,
        report: &CallReport,
        restraints: &[SignalRestraint],
    ) {
        let defined = |key| Some((key, self.backend.definition_of(key)?));
        let defined: Vec<_> = keys.filter_map(defined).collect();
        if defined.is_empty() {
            return;
        }
        self.count_ignored(report);
        let limits: Vec<_> = defined
            .iter()
            .map(|(key, registered)| CallLimit {
                key,
                unit: registered.definition.unit.as_deref(),
                is_concurrency: matches!(registered.definition.kind, Kind::Concurrency { .. }),
            })
            .collect();
        let told = restraints.iter().flat_map(|restraint| {
            let concerned = concerned_limits(&limits, report.provider.name(), restraint);
            concerned.into_iter().map(|key| self.put_one_in_force(key, restraint.restraint))
        });
        join_all(told).await;
    }

    async fn put_one_in_force(&self, key: &Key, restraint: Restraint) {
        if let Err(error) = self.backend.restrain(key, restraint).get().await
            && !self.is_away()
        {
            tracing::warn!(%key, %error, "could not put in force what the provider said");
        }
    }

    /// How many values in what providers said made no sense.
    pub(crate) fn signals_ignored(&self) -> u64 {
        self.signals_ignored.load(Ordering::Relaxed)
    }

    /// Remembers how much of what a provider said made no sense.
    pub(crate) fn count_ignored(&self, report: &CallReport) {
        self.signals_ignored.fetch_add(u64::from(report.signals.ignored), Ordering::Relaxed);
    }
}
