//! Completing: one chain that marks the lease as over, gives back what was not used and charges what was used beyond.
//! It takes effect once, whoever sends it and however often: the mark is its first member.

use std::sync::Arc;
use std::time::Duration;

use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;

use super::books::{Books, Trouble};
use super::counting::Counts;
use super::finding::Owner;
use super::lease::LeaseRecord;
use super::limit::{Limit, Terms};
use super::opening::is_there;
use super::settlement::Settlement;
use crate::policy::{Complete, Key, LeaseError, Overage};

/// How often a completion is put together anew, because a hold expired or was renewed meanwhile, or because others took
/// what was free. After these it is charged as debt, which always succeeds.
const TRIES: usize = 8;
const TRIES_WITH_ROOM: usize = 4;

/// How long one waits that found no way to the ledger, before the next try.
pub(super) const RETRY_DELAY: Duration = Duration::from_millis(50);

/// As long as a completion is tried that found no way to the ledger. What a lease holds ends by itself then at the
/// latest, but for long streams.
pub(super) const PERSISTENCE: Duration = Duration::from_secs(600);

/// When a lease ended that was to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Just now.
    Now,
    /// Before, or there was none.
    Before,
    /// It goes on: others have it.
    Not,
}

impl Books {
    /// Ends a lease; goes on trying while the cluster is away.
    pub(super) async fn complete(&self, request: &Complete) -> Result<(), LeaseError> {
        self.end(request, false).await.map(drop)
    }

    /// Ends a lease whose grant one caller did not take: one that others have goes on. Of one that may have been
    /// granted, unless somebody has it here, this server never told anybody.
    pub(super) async fn give_back(&self, request: &Complete, is_granted: bool) -> Result<Ended, LeaseError> {
        let id = request.lease_id;
        let has_nobody = if is_granted { self.leases.leave(id) } else { !self.leases.has(id) };
        if !has_nobody {
            return Ok(Ended::Not);
        }
        let ended = self.end(request, true).await;
        if !matches!(ended, Ok(Ended::Now | Ended::Before)) {
            self.leases.keep(id);
        }
        ended
    }

    async fn end(&self, request: &Complete, gives_back: bool) -> Result<Ended, LeaseError> {
        let give_up_at = self.clock.now().after(PERSISTENCE);
        let mut place = None;
        loop {
            let trouble = match self.try_to_end(request, gives_back).await {
                Ok(done) => return done,
                Err(trouble) => trouble,
            };
            // One task for each lease waits for the cluster to come back.
            place = place.or_else(|| self.ending.enter(request.lease_id));
            let is_lasting = matches!(trouble, Trouble::Fault(_)) || self.is_closed();
            if is_lasting || place.is_none() || give_up_at < self.clock.now() {
                return Err(LeaseError::Backend(trouble.text()));
            }
            self.sleep(RETRY_DELAY).await;
        }
    }

    async fn try_to_end(&self, request: &Complete, gives_back: bool) -> Result<Result<Ended, LeaseError>, Trouble> {
        let Some(mut lease) = self.find_lease(request.lease_id).await? else { return Ok(Ok(Ended::Before)) };
        let mut now_ns = self.session.cluster_ns();
        for attempt in 0..TRIES {
            if !lease.is_live(now_ns) {
                return Ok(Ok(Ended::Before));
            }
            if gives_back && lease.maker != Some(self.chart.maker) {
                return Ok(Ok(Ended::Not)); // What was tried here never arrived, or came second.
            }
            let settlements = match self.settlements(&lease, request, attempt).await? {
                Ok(settlements) => settlements,
                Err(error) => return Ok(Err(error)),
            };
            let settling = || self.settling_chain(&lease, &settlements, attempt, now_ns, gives_back);
            let (chain, collects) = settling();
            let written = self.write_chain(Vec::new(), chain).await?;
            match written.cause {
                None => {
                    self.completed(&lease, &settlements, now_ns);
                    // Another time will do, if this one fails.
                    let _ = self.write_each(&collects).await;
                    return Ok(Ok(Ended::Now));
                }
                Some((0, kind)) if is_there(kind) => {
                    self.leases.finish(lease.id);
                    return Ok(Ok(Ended::Before));
                }
                // Another server has granted it again: it goes on.
                Some((1, kind)) if is_there(kind) && gives_back => return Ok(Ok(Ended::Not)),
                Some((_, CreateTransferErrorKind::ExceedsCredits)) => {}
                Some((at, CreateTransferErrorKind::PendingTransferExpired)) => {
                    // The cluster's clock is ahead of what is known of it here. That is rare: no copy of the chain is
                    // kept for it.
                    let ended = settling().0[at].pending_id();
                    now_ns = now_ns.max(written.cluster_ns);
                    let ended = lease.holds.iter_mut().filter(|hold| hold.transfer == ended);
                    ended.for_each(|hold| hold.expires_at_ns = hold.expires_at_ns.min(now_ns));
                }
                // Something became of a hold since it was looked at.
                Some(_) => match Box::pin(self.read_lease(lease.id)).await? {
                    Some(read) => lease = read,
                    None => return Ok(Ok(Ended::Before)),
                },
            }
        }
        Err(Trouble::Fault("the lease changes faster than it can be completed".to_owned()))
    }

    async fn settlements(
        &self,
        lease: &LeaseRecord,
        request: &Complete,
        attempt: usize,
    ) -> Result<Result<Vec<Settlement>, LeaseError>, Trouble> {
        let mut actuals: Vec<_> = request.actuals.iter().map(|actual| (self.tag(&actual.key), actual)).collect();
        if let Some((_, stray)) = actuals.iter().find(|(tag, _)| lease.holds.iter().all(|hold| hold.tag != *tag)) {
            return Ok(Err(LeaseError::KeyNotHeld(stray.key.clone())));
        }
        let charged: Vec<_> = lease.holds.iter().map(|hold| self.charged_limit(hold)).collect();
        let strays = lease.holds.iter().zip(&charged).filter(|(_, charged)| charged.is_none()).map(|(hold, _)| hold);
        let owners = Box::pin(self.owners(strays)).await?;
        let mut settlements = Vec::with_capacity(lease.holds.len());
        for (hold, charged) in lease.holds.iter().zip(charged) {
            let actual = actuals.iter().position(|(tag, _)| *tag == hold.tag).map(|at| actuals.swap_remove(at).1);
            let owner = owners.get(&hold.account).copied();
            let beyond = actual.filter(|actual| hold.amount < actual.amount).map(|actual| &actual.key);
            let limit = match (charged, owner, beyond) {
                (None, Some(owner), Some(key)) => Box::pin(self.defined(owner, key)).await?,
                (charged, ..) => charged,
            };
            let accounts = limit.as_ref().map(|(_, terms)| terms.accounts);
            let accounts = accounts.or_else(|| Some(self.chart.accounts_of(owner?.hash, owner?.generation)));
            let actual = actual.map(|actual| actual.amount);
            settlements.push(Settlement { hold: *hold, actual, limit, accounts, free: 0 });
        }
        if attempt < TRIES_WITH_ROOM && settlements.iter().any(|settlement| settlement.excess() != 0) {
            Box::pin(self.look_for_room(&mut settlements)).await?;
        }
        Ok(Ok(settlements))
    }

    /// The limit of `key`, which this server may not have seen yet, if it still is the one that was charged.
    async fn defined(&self, owner: Owner, key: &Key) -> Result<Option<(Arc<Limit>, Terms)>, Trouble> {
        let Ok(limit) = self.limits.resolve(key, self.clock.now()) else { return Ok(None) };
        let Some(terms) = Trouble::unless_deleted(self.open(&limit).await)? else { return Ok(None) };
        Ok((terms.standing.generation == owner.generation).then_some((limit, terms)))
    }

    /// Asks what is free where more was used than reserved.
    async fn look_for_room(&self, settlements: &mut [Settlement]) -> Result<(), Trouble> {
        let beyond: Vec<_> = settlements.iter().filter(|settlement| settlement.excess() != 0).collect();
        let limits: Vec<_> = beyond.iter().filter_map(|settlement| settlement.limit.clone()).collect();
        let balances = self.balances(&limits).await?;
        let mut free = balances.into_iter().map(|balance| balance.free);
        for settlement in settlements.iter_mut().filter(|settlement| settlement.excess() != 0) {
            settlement.free = free.next().unwrap_or(0);
        }
        Ok(())
    }

    fn completed(&self, lease: &LeaseRecord, settlements: &[Settlement], now_ns: u64) {
        self.leases.finish(lease.id);
        Counts::add(&self.counts.completed);
        for settlement in settlements {
            let Some((limit, terms)) = &settlement.limit else { continue };
            let rest = settlement.excess().saturating_sub(settlement.free);
            if rest != 0 {
                let mut state = limit.lock();
                state.counters.overage = state.counters.overage.saturating_add(rest);
                state.owes |= terms.overage() == Overage::Repay;
                drop(state);
                self.limits.count(&limit.key, |family| {
                    family.counters.overage = family.counters.overage.saturating_add(rest);
                });
            }
            if settlement.frees(now_ns) {
                self.tell_freed(limit);
            }
        }
    }
}
