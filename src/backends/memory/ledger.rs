//! The books: one atomic decision over all limits that a call touches. Everything here runs under one lock, which is
//! held for less than a microsecond: a decision over four keys costs less than four locks would.

use std::iter::repeat;

use smallvec::SmallVec;

use super::lease_table::LeaseTable;
use super::limit_table::{LimitTable, Unresolved};
use super::refusal;
use crate::backends::Settled;
use crate::config::Settings;
use crate::policy::{
    Amount, Amounts, Complete, Grant, Hold, HoldId, Key, Lease, LeaseError, LimitIndex, LimitState, Moment, Reason,
    Refusal, Renew, Reserve, Restraint, Verdict,
};

/// As many limits as a request usually names; more are kept on the heap.
type Indices = SmallVec<[LimitIndex; 8]>;

/// What was used of each hold of a lease, where the caller says it.
type Actuals = SmallVec<[Option<u128>; 8]>;

/// How many places of each table one step of housekeeping looks at: some tens of microseconds under the lock.
const SWEEP_PLACES: usize = 256;

/// Counts of the whole ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LedgerCounters {
    pub(super) decided: u64,
    pub(super) granted: u64,
    pub(super) denied: u64,
    pub(super) completed: u64,
    pub(super) expired: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) limits: LimitTable,
    pub(super) leases: LeaseTable,
    pub(super) counters: LedgerCounters,
    settings: Settings,
    now: Moment,
    /// Places looked at in this round of housekeeping.
    swept: usize,
    /// Watched limits that may have room again; told to the observer after the lock is released.
    pub(super) freed: Vec<Key>,
}

impl Ledger {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            limits: LimitTable::new(settings.memory.max_instances),
            leases: LeaseTable::new(settings.memory.max_leases),
            counters: LedgerCounters::default(),
            settings: settings.clone(),
            now: Moment::START,
            swept: 0,
            freed: Vec::new(),
        }
    }

    /// Callers read the clock before they get the lock, so that one may come with an older time than the last.
    pub(super) fn advance(&mut self, now: Moment) -> Moment {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn reserve(&mut self, request: &Reserve, now: Moment, unix_ms: u64) -> Result<Grant, Box<Refusal>> {
        assert!(!request.amounts.is_empty(), "a reservation names at least one key");
        self.counters.decided += 1;
        if let Some(answer) = self.answer_of_lease(request, now) {
            return answer;
        }
        let limits = self.resolve(&request.amounts, now)?;
        if !self.all_fit(&limits, &request.amounts, now) {
            self.refuse(&limits, &request.amounts, now)?;
        }
        if !self.leases.make_room() {
            return Err(Box::new(self.settings.overloaded()));
        }
        let charge = |(index, amount): (&LimitIndex, &Amount)| {
            let slot = self.limits.slot_mut(*index);
            slot.leases += 1;
            // Only a shadow limit is charged more than 64 bits can hold.
            let amount = u64::try_from(amount.amount).unwrap_or(u64::MAX);
            Hold { limit: *index, amount, id: slot.limit.reserve(amount, now) }
        };
        let holds: Box<[Hold]> = limits.iter().zip(&request.amounts).map(charge).collect();
        self.leases.insert(Lease::new(request.lease_id, unix_ms, holds, &request.labels));
        self.counters.granted += 1;
        Ok(Grant { lease_id: request.lease_id, reserved_at_unix_ms: unix_ms })
    }

    pub(super) fn peek(&mut self, amounts: &Amounts, now: Moment) -> Result<(), Box<Refusal>> {
        let limits = self.resolve(amounts, now)?;
        if self.all_fit(&limits, amounts, now) {
            return Ok(());
        }
        match refusal::of(&mut self.limits, &limits, amounts, now, self.settings.decreasing_retry_after) {
            Some(refusal) => Err(Box::new(refusal)),
            None => Ok(()),
        }
    }

    pub(super) fn complete(&mut self, request: &Complete, now: Moment) -> Result<(), LeaseError> {
        let Some(index) = self.leases.find(request.lease_id) else { return Ok(()) };
        let Some(holds) = self.leases.get(index).live_holds(now) else { return Ok(()) };
        let key_of = |hold: &Hold| &self.limits.slot(hold.limit).key;
        let actual_of = |hold| request.actuals.iter().find(|actual| actual.key == *key_of(hold));
        let actuals: Actuals = holds.iter().map(|hold| actual_of(hold).map(|actual| actual.amount)).collect();
        // Both name each key once: unless all were found, one is of no hold.
        if actuals.iter().flatten().count() != request.actuals.len() {
            let is_stray = |actual: &&Amount| holds.iter().all(|hold| actual.key != *key_of(hold));
            let stray = request.actuals.iter().find(is_stray).expect("one was not found");
            return Err(LeaseError::KeyNotHeld(stray.key.clone()));
        }
        self.counters.completed += 1;
        self.finish(index, &actuals, now);
        Ok(())
    }

    pub(super) fn give_back(&mut self, request: &Complete, now: Moment) -> Result<(), LeaseError> {
        match self.leases.find(request.lease_id) {
            Some(index) if self.leases.get(index).is_shared() => Ok(()),
            _ => self.complete(request, now),
        }
    }

    pub(super) fn renew(&mut self, request: &Renew, now: Moment) -> Result<Moment, LeaseError> {
        let index = self.leases.find(request.lease_id).ok_or(LeaseError::Finished)?;
        let holds = self.leases.get(index).live_holds(now).ok_or(LeaseError::Finished)?;
        let holds: SmallVec<[Hold; 8]> = holds.into();
        // All or nothing here too: a lease that lost one of its slots is not renewed by half. A limit that was deleted
        // has none to lose.
        let can_renew = |hold: &Hold| {
            let (slot, family) = self.limits.with_family(hold.limit);
            slot.limit.can_renew(hold.id, now) || family.is_none()
        };
        if !holds.iter().all(can_renew) {
            return Err(LeaseError::Finished);
        }
        let mut renew = |hold: &Hold| self.limits.slot_mut(hold.limit).limit.renew(hold.id, request.timeout, now);
        let renewed: SmallVec<[HoldId; 8]> = holds.iter().map(|hold| renew(hold).unwrap_or(hold.id)).collect();
        let lease = self.leases.get_mut(index);
        lease.renew(renewed);
        Ok(lease.ends_at())
    }

    pub(super) fn restrain(&mut self, key: &Key, restraint: Restraint, now: Moment) {
        if restraint.until() <= now {
            return; // Not worth an instance.
        }
        let Ok(index) = self.limits.resolve(key, &[], now) else { return };
        let (slot, family) = self.limits.with_family(index);
        slot.limit.restrain(restraint, now);
        family.expect("a limit that was resolved has a definition").note_pause(slot.limit.paused_until(now));
    }

    pub(super) fn settle(&mut self, key: &Key, now: Moment) -> Settled {
        let Some(index) = self.limits.existing(key, now) else { return Settled::Unknown };
        self.settle_decrease(index, now);
        let limit = &mut self.limits.slot_mut(index).limit;
        match limit.state() {
            LimitState::Active => Settled::Active,
            LimitState::Decreasing { .. } => Settled::Decreasing { next_change: limit.next_change(now) },
        }
    }

    /// One step of housekeeping over both tables; says whether it ended a round over all of them.
    pub(super) fn sweep_step(&mut self, now: Moment) -> bool {
        for _ in 0..SWEEP_PLACES {
            let index = self.leases.step();
            if self.leases.has_expired(index, now) {
                self.counters.expired += 1;
                self.finish(index, &[], now);
            }
            self.leases.forget_if_over(index, now);
            self.limits.sweep_one(now);
        }
        self.swept += SWEEP_PLACES;
        let round_ended = self.leases.places().max(self.limits.places()) <= self.swept;
        if round_ended {
            self.swept = 0;
        }
        round_ended
    }

    /// The lease's own answer, if the id is known.
    fn answer_of_lease(&mut self, request: &Reserve, now: Moment) -> Option<Result<Grant, Box<Refusal>>> {
        let index = self.leases.find(request.lease_id)?;
        let lease = self.leases.get(index);
        let refuse = |reason| Some(Err(Box::new(Refusal::permanent(reason))));
        let Some(holds) = lease.live_holds(now) else { return refuse(Reason::LeaseFinished) };
        let is_held = |amount: &Amount| {
            let same = |hold: &Hold| {
                u128::from(hold.amount) == amount.amount.min(u128::from(u64::MAX))
                    && self.limits.slot(hold.limit).key == amount.key
            };
            holds.iter().any(same)
        };
        if holds.len() != request.amounts.len() || !request.amounts.iter().all(is_held) {
            let problem =
                "`lease_id` is in use for other `requirements`; send a new `lease_id` with every new reservation";
            return refuse(Reason::InvalidRequest(problem.to_owned()));
        }
        let grant = Grant { lease_id: lease.id(), reserved_at_unix_ms: lease.reserved_at_unix_ms() };
        self.leases.get_mut(index).share();
        Some(Ok(grant))
    }

    fn resolve(&mut self, amounts: &Amounts, now: Moment) -> Result<Indices, Box<Refusal>> {
        let mut limits = Indices::new();
        let mut is_full = false;
        for amount in amounts {
            match self.limits.resolve(&amount.key, &limits, now) {
                Ok(index) => limits.push(index),
                Err(Unresolved::TooManyInstances) => is_full = true,
                Err(Unresolved::Unknown) => {
                    return Err(Box::new(Refusal::permanent(Reason::UnknownLimitKey(amount.key.clone()))));
                }
            }
        }
        if is_full {
            return Err(Box::new(self.settings.overloaded()));
        }
        Ok(limits)
    }

    fn all_fit(&mut self, limits: &Indices, amounts: &Amounts, now: Moment) -> bool {
        limits.iter().zip(amounts).all(|(index, amount)| {
            let slot = self.limits.slot_mut(*index);
            slot.limit.verdict(amount.amount, now) == Verdict::Fits
        })
    }

    /// Something does not fit: refuses, unless only shadow limits object; then it counts what they would have done.
    fn refuse(&mut self, limits: &Indices, amounts: &Amounts, now: Moment) -> Result<(), Box<Refusal>> {
        for index in limits {
            self.settle_decrease(*index, now);
        }
        if let Some(refusal) = refusal::of(&mut self.limits, limits, amounts, now, self.settings.decreasing_retry_after)
        {
            return Err(Box::new(refusal));
        }
        for (index, amount) in limits.iter().zip(amounts) {
            let (slot, family) = self.limits.with_family(*index);
            if slot.limit.verdict(amount.amount, now) != Verdict::Fits {
                slot.limit.count_refusal();
                family.expect("a limit that was resolved has a definition").counters.would_deny += 1;
            }
        }
        Ok(())
    }

    pub(super) fn count_refusal(&mut self, refusal: &Refusal, now: Moment) {
        self.counters.denied += u64::from(!refusal.denied.is_empty());
        for denied in &refusal.denied {
            let Some(index) = self.limits.existing(&denied.key, now) else { continue };
            if let (slot, Some(family)) = self.limits.with_family(index) {
                slot.limit.count_refusal();
                family.counters.denied += 1;
            }
        }
    }

    /// Ends a lease that still holds something. `actuals` are in the order of its holds.
    fn finish(&mut self, index: usize, actuals: &[Option<u128>], now: Moment) {
        let Some(holds) = self.leases.get_mut(index).finish(now) else { return };
        let actuals = actuals.iter().copied().chain(repeat(None));
        for (hold, actual) in holds.iter().zip(actuals) {
            let (slot, family) = self.limits.with_family(hold.limit);
            let overage = slot.limit.counters().overage;
            let freed = slot.limit.complete(hold.id, hold.amount, actual, now);
            if let Some(family) = family {
                let added = slot.limit.counters().overage - overage;
                family.counters.overage = family.counters.overage.saturating_add(added);
            }
            if freed && slot.watched {
                self.freed.push(slot.key.clone());
            }
            self.settle_decrease(hold.limit, now);
            self.limits.release(hold.limit);
        }
    }

    fn settle_decrease(&mut self, index: LimitIndex, now: Moment) {
        let (slot, family) = self.limits.with_family(index);
        if let (LimitState::Decreasing { .. }, Some(family)) = (slot.limit.state(), family)
            && slot.limit.settle(&family.registered.definition, now)
            && slot.watched
        {
            self.freed.push(slot.key.clone());
        }
    }
}
