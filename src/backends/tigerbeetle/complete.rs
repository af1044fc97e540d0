//! Completing: one chain that marks the lease as over, gives back what was not used and charges what was used beyond. It
//! takes effect once, whoever sends it and however often: the mark is its first member.

use std::sync::Arc;

use tigerbeetle_unofficial::Transfer;
use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;

use super::books::{Books, Counts, Trouble};
use super::chart::{Code, LimitAccounts, link};
use super::finding::Owner;
use super::lease::{Held, HoldTerms, LeaseRecord};
use super::limit::{Limit, Terms};
use super::opening::is_there;
use crate::policy::{Complete, Key, Kind, LeaseError, Overage};

/// How often a completion is put together anew, because a hold expired or was renewed meanwhile, or because others took
/// what was free. After these it is charged as debt, which always succeeds.
const TRIES: usize = 8;
const TRIES_WITH_ROOM: usize = 4;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What is to be done about one hold.
struct Settlement {
    hold: Held,
    /// What was used, if the caller says so.
    actual: Option<u128>,
    /// `None` if its limit is not defined here any more: what was used beyond counts nowhere.
    limit: Option<(Arc<Limit>, Terms)>,
    accounts: Option<LimitAccounts>,
    /// What is free for what was used beyond, where that is known.
    free: u64,
}

impl Settlement {
    fn excess(&self) -> u64 {
        let excess = self.actual.map_or(0, |actual| actual.saturating_sub(self.hold.amount));
        if matches!(self.hold.code, Code::RollingHold | Code::BucketSpend) && self.limit.is_some() {
            u64::try_from(excess).unwrap_or(u64::MAX)
        } else {
            0 // What is held at once is over; and what was not charged is not charged more.
        }
    }

    fn unused(&self) -> u128 {
        self.actual.map_or(0, |actual| self.hold.amount.saturating_sub(actual))
    }

    fn frees(&self, now_ns: u64) -> bool {
        let is_slot = self.hold.code == Code::ConcurrencyHold;
        self.hold.is_live(now_ns) && (is_slot || self.unused() != 0)
    }
}

impl Books {
    /// Ends a lease; goes on trying while the cluster is away.
    pub(super) async fn complete(&self, request: &Complete) -> Result<(), LeaseError> {
        let mut persevering = self.patience.begin();
        loop {
            let trouble = match self.try_complete(request).await {
                Ok(done) => return done,
                Err(trouble) => trouble,
            };
            if matches!(trouble, Trouble::Fault(_)) || !persevering.try_again().await {
                return Err(LeaseError::Backend(trouble.text()));
            }
        }
    }

    async fn try_complete(&self, request: &Complete) -> Result<Result<(), LeaseError>, Trouble> {
        let Some(mut lease) = self.find_lease(request.lease_id).await? else { return Ok(Ok(())) };
        for attempt in 0..TRIES {
            let now_ns = self.session.cluster_ns();
            if !lease.is_live(now_ns) {
                return Ok(Ok(()));
            }
            let settlements = match self.settlements(&lease, request, attempt).await? {
                Ok(settlements) => settlements,
                Err(error) => return Ok(Err(error)),
            };
            let (chain, collects) = self.chain(&lease, &settlements, attempt, now_ns);
            let (count, pending): (_, Vec<_>) = (chain.len(), chain.iter().map(Transfer::pending_id).collect());
            let written = self.write([chain, collects].concat()).await?;
            match written.cause(0).filter(|(at, _)| *at < count) {
                None => {
                    self.completed(&lease, &settlements, now_ns);
                    return Ok(Ok(()));
                }
                Some((0, kind)) if is_there(kind) => {
                    self.leases.finish(lease.id);
                    return Ok(Ok(()));
                }
                Some((_, CreateTransferErrorKind::ExceedsCredits)) => {}
                Some((at, CreateTransferErrorKind::PendingTransferExpired)) => {
                    // The cluster's clock is ahead of what is known of it here.
                    let expired = lease.holds.iter_mut().filter(|hold| hold.transfer == pending[at]);
                    expired.for_each(|hold| hold.expires_at_ns = hold.expires_at_ns.min(now_ns));
                }
                // Something became of a hold since it was looked at.
                Some(_) => match self.read_lease(lease.id).await? {
                    Some(read) => lease = read,
                    None => return Ok(Ok(())),
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
        let owners = self.owners(lease).await?;
        let mut settlements = Vec::with_capacity(lease.holds.len());
        for hold in &lease.holds {
            let actual = actuals.iter().position(|(tag, _)| *tag == hold.tag).map(|at| actuals.swap_remove(at).1);
            let owner = owners.get(&hold.account).copied();
            let beyond = actual.filter(|actual| hold.amount < actual.amount).map(|actual| &actual.key);
            settlements.push(Settlement {
                hold: *hold,
                actual: actual.map(|actual| actual.amount),
                limit: self.defined(hold, owner, beyond).await?,
                accounts: owner.map(|owner| self.chart.accounts_of(owner.hash, owner.generation)),
                free: 0,
            });
        }
        self.look_for_room(&mut settlements, attempt).await?;
        Ok(Ok(settlements))
    }

    /// The limit that a hold is charged to, if it is still in use. Where more was used it is `wanted` by its key: this
    /// server may not have seen it yet.
    async fn defined(
        &self,
        hold: &Held,
        owner: Option<Owner>,
        wanted: Option<&Key>,
    ) -> Result<Option<(Arc<Limit>, Terms)>, Trouble> {
        if let Some(charged) = self.charged_limit(hold) {
            return Ok(Some(charged));
        }
        let (Some(owner), Some(key)) = (owner, wanted) else { return Ok(None) };
        let Ok(limit) = self.limits.resolve(key, self.clock.now()) else { return Ok(None) };
        let terms = self.open(&limit).await?;
        Ok((terms.standing.generation == owner.generation).then_some((limit, terms)))
    }

    /// Asks what is free where more was used than reserved.
    async fn look_for_room(&self, settlements: &mut [Settlement], attempt: usize) -> Result<(), Trouble> {
        if TRIES_WITH_ROOM <= attempt {
            return Ok(());
        }
        let beyond: Vec<_> = settlements.iter().filter(|settlement| settlement.excess() != 0).collect();
        let limits: Vec<_> = beyond.iter().filter_map(|settlement| settlement.limit.clone()).collect();
        let balances = self.balances(&limits).await?;
        let mut free = balances.into_iter().map(|balance| balance.free);
        for settlement in settlements.iter_mut().filter(|settlement| settlement.excess() != 0) {
            settlement.free = free.next().unwrap_or(0);
        }
        Ok(())
    }

    fn chain(
        &self,
        lease: &LeaseRecord,
        settlements: &[Settlement],
        attempt: usize,
        now_ns: u64,
    ) -> (Vec<Transfer>, Vec<Transfer>) {
        let mut chain = vec![self.chart.finish(lease.id)];
        let mut collects = Vec::new();
        for (position, settlement) in (0_u32..).zip(settlements) {
            self.give_back_unused(lease, position, settlement, now_ns, &mut chain);
            self.charge_excess(lease, position, settlement, attempt, &mut chain);
            if let Some((limit, terms)) = &settlement.limit
                && terms.overage == Overage::Repay
                && (settlement.excess() != 0 || limit.lock().owes)
            {
                collects.push(self.chart.collect(&terms.accounts, self.unix_ms()));
            }
        }
        link(&mut chain);
        (chain, collects)
    }

    fn give_back_unused(
        &self,
        lease: &LeaseRecord,
        position: u32,
        settlement: &Settlement,
        now_ns: u64,
        chain: &mut Vec<Transfer>,
    ) {
        let Settlement { hold, .. } = settlement;
        if !settlement.frees(now_ns) {
            return;
        }
        let part = |part| self.chart.ids.part(lease.id, part, hold.transfer);
        match hold.code {
            Code::RollingHold => {
                chain.push(self.chart.void(lease.id, hold.transfer));
                let kept = hold.amount - settlement.unused();
                if kept != 0 {
                    // Rounded up: nothing is free before its time.
                    let seconds = (hold.expires_at_ns - now_ns).div_ceil(NANOS_PER_SECOND);
                    let seconds = u32::try_from(seconds).expect("no more than the hold had");
                    let terms = HoldTerms { amount: kept, seconds, ..again(hold) };
                    chain.push(self.chart.hold(lease.id, part("keep"), position, &terms));
                }
            }
            Code::BucketSpend => {
                if let Some(accounts) = settlement.accounts {
                    let LimitAccounts { limit, spent, .. } = accounts;
                    let id = part("refund");
                    let amount = settlement.unused();
                    let refund = self.chart.posted_as_far_as_there(id, Code::Refund, spent, limit, amount);
                    chain.push(refund.with_user_data_128(lease.id.as_u128()));
                }
            }
            _ => chain.push(self.chart.void(lease.id, hold.transfer)),
        }
    }

    /// What fits is charged as if it had been reserved now; what does not goes by the limit's policy.
    fn charge_excess(
        &self,
        lease: &LeaseRecord,
        position: u32,
        settlement: &Settlement,
        attempt: usize,
        chain: &mut Vec<Transfer>,
    ) {
        let (excess, Some((_, terms))) = (settlement.excess(), &settlement.limit) else { return };
        if excess == 0 {
            return;
        }
        let fitting = excess.min(settlement.free);
        let rest = excess - fitting;
        let LimitAccounts { limit, owed, debt, spent } = terms.accounts;
        // The id of a try that failed for want of room is burned.
        let part = |part: &str| self.chart.ids.part(lease.id, &format!("{part}:{attempt}"), settlement.hold.transfer);
        let charged = match terms.overage {
            Overage::Repay => excess,
            Overage::Debt | Overage::Deny => fitting,
        };
        if rest != 0 {
            match terms.overage {
                Overage::Repay => {
                    chain.push(self.chart.posted(part("overage"), Code::Overage, owed, limit, rest.into()))
                }
                Overage::Debt => {
                    let operator = self.chart.operator;
                    chain.push(self.chart.posted(part("debt"), Code::Debt, debt, operator, rest.into()));
                }
                Overage::Deny => {}
            }
        }
        if charged != 0 {
            let Held { tag, code, .. } = settlement.hold;
            let seconds = match terms.standing.kind {
                Kind::Rolling { window } => u32::try_from(window.get()).expect("at most a hundred years"),
                Kind::Concurrency { .. } | Kind::TokenBucket { .. } => 1,
            };
            let extra = HoldTerms { code, account: limit, spent, tag, amount: charged.into(), seconds };
            chain.push(self.chart.hold(lease.id, part("extra"), position, &extra));
        }
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
                state.owes |= terms.overage == Overage::Repay;
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

    /// Ends a lease whose grant nobody took. One whose grant was given out again goes on.
    pub(super) async fn give_back(&self, request: &Complete) -> Result<(), LeaseError> {
        if self.leases.get(request.lease_id).is_some_and(|lease| lease.is_shared) {
            return Ok(());
        }
        self.complete(request).await
    }
}

/// The same hold once more.
pub(super) fn again(hold: &Held) -> HoldTerms {
    let Held { code, account, tag, amount, .. } = *hold;
    HoldTerms { code, account, spent: 0, tag, amount, seconds: 1 }
}
