//! One limit: its meter, its debt, a decrease that waits until it fits, and what its provider asks of it.

use std::num::NonZeroU64;

use super::definition::{Definition, Mode, Overage};
use super::hold_log::HoldId;
use super::meter::Meter;
use super::moment::{Moment, Seconds};
use super::restraint::{Restraint, Restraints};
use super::verdict::{Counters, LimitState, Verdict};

/// The state of one limit. Every method takes the time, and time that stands still or steps back changes nothing.
#[derive(Clone, Debug)]
pub struct Limit {
    meter: Meter,
    capacity: NonZeroU64,
    pending_decrease: Option<NonZeroU64>,
    overage: Overage,
    mode: Mode,
    debt: u128,
    restraints: Restraints,
    counters: Counters,
    updated_at: Moment,
}

impl Limit {
    /// A limit of which nothing is taken.
    #[must_use]
    pub fn new(definition: &Definition, now: Moment) -> Self {
        Self {
            meter: Meter::new(definition, now),
            capacity: definition.capacity,
            pending_decrease: None,
            overage: definition.overage,
            mode: definition.mode,
            debt: 0,
            restraints: Restraints::default(),
            counters: Counters::default(),
            updated_at: now,
        }
    }

    /// Whether it has the kind of `definition`, and so can take it over.
    #[must_use]
    pub fn is_of_kind(&self, definition: &Definition) -> bool {
        self.meter.kind_name() == definition.kind.name()
    }

    /// Takes over `definition`, which is of the same kind. A raised capacity is in force at once, a lowered one as soon
    /// as what is taken fits under it.
    pub fn redefine(&mut self, definition: &Definition, now: Moment) -> LimitState {
        let now = self.advance(now);
        let capacity = self.capacity.max(definition.capacity);
        self.meter.redefine(definition.kind, capacity, now);
        self.capacity = capacity;
        self.pending_decrease = (definition.capacity < capacity).then_some(definition.capacity);
        self.overage = definition.overage;
        self.mode = definition.mode;
        self.apply_decrease(definition, now);
        self.pay_debt(now);
        self.state()
    }

    /// Whether its definition is in force.
    #[must_use]
    pub fn state(&self) -> LimitState {
        self.pending_decrease.map_or(LimitState::Active, |to| LimitState::Decreasing { to })
    }

    /// Lets time pass: drops what has expired, pays debt, and lowers the capacity if that is now possible.
    /// `definition` is the one in force. Says whether the capacity was lowered.
    pub fn settle(&mut self, definition: &Definition, now: Moment) -> bool {
        let now = self.advance(now);
        self.apply_decrease(definition, now)
    }

    /// Whether `amount` can be reserved now. Changes nothing that a caller could see.
    pub fn verdict(&mut self, amount: u128, now: Moment) -> Verdict {
        let now = self.advance(now);
        let ceiling = self.pending_decrease.unwrap_or(self.capacity).get();
        let Ok(amount) = u64::try_from(amount) else { return Verdict::NeverFits };
        if ceiling < amount {
            return Verdict::NeverFits;
        }
        if self.pending_decrease.is_some() {
            return Verdict::Decreasing;
        }
        let is_paused = self.restraints.paused_until(now).is_some();
        if !is_paused && self.has(amount, now) {
            return Verdict::Fits;
        }
        let (meter, capacity) = (&mut self.meter, self.capacity.get());
        let when_free = |amount| meter.when_available(amount, capacity, now);
        let free = self.restraints.when_available(amount, capacity, when_free);
        if is_paused { Verdict::Paused(free) } else { Verdict::Wait(free) }
    }

    /// Does what a provider asks for. It only ever tightens: what the limit was under before stays in force.
    pub fn restrain(&mut self, restraint: Restraint, now: Moment) {
        let now = self.advance(now);
        if restraint.until() <= now {
            return;
        }
        match restraint {
            Restraint::Pause { until } => self.restraints.pause(until),
            Restraint::Tighten { remaining, until } if !matches!(self.meter, Meter::Concurrency(_)) => {
                let surplus = self.meter.available(self.capacity.get(), now).saturating_sub(remaining);
                if surplus != 0 {
                    self.restraints.withhold(surplus, until);
                }
            }
            Restraint::Tighten { .. } => {}
        }
    }

    /// When the pause that a provider asked for ends; `None` if there is none.
    pub fn paused_until(&mut self, now: Moment) -> Option<Moment> {
        let now = self.advance(now);
        self.restraints.paused_until(now)
    }

    /// What is withheld because the provider has less left than the books.
    pub fn withheld(&mut self, now: Moment) -> u64 {
        self.advance(now);
        self.restraints.withheld()
    }

    /// Counts a refusal, or in shadow mode what would have been one.
    pub fn count_refusal(&mut self) {
        match self.mode {
            Mode::Enforce => self.counters.denied += 1,
            Mode::Shadow => self.counters.would_deny += 1,
        }
    }

    /// Whether its refusals stand.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Takes `amount` for a lease. In `enforce` mode the verdict must have been [`Verdict::Fits`] under the same lock.
    pub fn reserve(&mut self, amount: u64, now: Moment) -> HoldId {
        let now = self.advance(now);
        if self.enforces() {
            assert!(self.has(amount, now) && self.restraints.paused_until(now).is_none(), "only what fits is reserved");
        }
        self.meter.reserve(amount, now)
    }

    /// The lease that reserved `amount` is over, and used `actual` of it, or what it had reserved if it does not say.
    /// Returns whether anything became free.
    pub fn complete(&mut self, hold: HoldId, amount: u64, actual: Option<u128>, now: Moment) -> bool {
        let now = self.advance(now);
        let actual = actual.unwrap_or(u128::from(amount));
        let unused = u64::try_from(u128::from(amount).saturating_sub(actual)).expect("at most the amount is unused");
        let freed = self.meter.settle(hold, amount, unused, now);
        if matches!(self.meter, Meter::Concurrency(_)) {
            return freed; // Its hold is over: there is nothing left to exceed.
        }
        let excess = u64::try_from(actual.saturating_sub(u128::from(amount))).unwrap_or(u64::MAX);
        if excess != 0 {
            self.charge_overage(excess, now);
        }
        self.pay_debt(now);
        freed
    }

    /// Whether [`Self::renew`] will succeed.
    pub fn can_renew(&mut self, hold: HoldId, now: Moment) -> bool {
        self.advance(now);
        match &self.meter {
            Meter::Concurrency(concurrency) => concurrency.log.amount(hold).is_some(),
            Meter::Rolling(_) | Meter::TokenBucket(_) => true,
        }
    }

    /// Extends a concurrency hold; `None` if it has expired. Other holds stay as they are.
    pub fn renew(&mut self, hold: HoldId, timeout: Option<Seconds>, now: Moment) -> Option<HoldId> {
        let now = self.advance(now);
        self.meter.renew(hold, timeout, now)
    }

    /// The capacity in force.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity.get()
    }

    /// What can be reserved now.
    pub fn available(&mut self, now: Moment) -> u64 {
        let now = self.advance(now);
        self.meter.available(self.capacity.get(), now).saturating_sub(self.restraints.withheld())
    }

    /// What was used beyond reservations and did not fit: with `repay` what is still to be paid, with `debt` all of it.
    #[must_use]
    pub fn debt(&self) -> u128 {
        self.debt
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether nothing would be lost by making it anew, but for its counters and the debt of `overage = "debt"`.
    pub fn is_idle(&mut self, now: Moment) -> bool {
        let now = self.advance(now);
        self.pending_decrease.is_none() && self.restraints.is_empty() && self.meter.is_full(now)
    }

    /// When a pending decrease should be tried again, if nothing completes before.
    pub fn next_change(&mut self, now: Moment) -> Option<Moment> {
        let now = self.advance(now);
        let wanted = self.capacity.get() - self.pending_decrease?.get();
        self.meter.next_change(wanted, now)
    }

    fn advance(&mut self, now: Moment) -> Moment {
        let now = self.updated_at.max(now);
        if self.updated_at < now {
            self.updated_at = now;
            self.meter.expire(now);
            self.restraints.expire(now);
            self.pay_debt(now);
        }
        now
    }

    /// Whether `amount` is free besides what is withheld.
    fn has(&mut self, amount: u64, now: Moment) -> bool {
        let withheld = if amount == 0 { 0 } else { self.restraints.withheld() };
        let claim = amount.checked_add(withheld);
        claim.is_some_and(|claim| self.meter.has(claim, self.capacity.get(), now))
    }

    /// What is withheld is taken too: it was really used, and the provider knows.
    fn charge_overage(&mut self, excess: u64, now: Moment) {
        let fitting = excess.min(self.meter.available(self.capacity.get(), now));
        self.meter.spend(fitting, now);
        let rest = excess - fitting;
        self.counters.overage = self.counters.overage.saturating_add(rest);
        match self.overage {
            Overage::Deny => {}
            Overage::Debt => self.debt = self.debt.saturating_add(u128::from(rest)),
            Overage::Repay => {
                self.debt = self.debt.saturating_add(u128::from(rest));
                self.meter.overdraw(rest, now);
            }
        }
    }

    /// With `repay` the overage is taken from the meter beyond its capacity, so that what frees pays it first.
    fn pay_debt(&mut self, now: Moment) {
        if self.overage == Overage::Repay && self.debt != 0 {
            self.debt = self.debt.min(self.meter.overdrawn(self.capacity.get(), now));
        }
    }

    fn apply_decrease(&mut self, definition: &Definition, now: Moment) -> bool {
        let Some(target) = self.pending_decrease else { return false };
        if self.meter.available(self.capacity.get(), now) < self.capacity.get() - target.get() {
            return false;
        }
        if let Meter::TokenBucket(bucket) = &mut self.meter {
            bucket.spend(self.capacity.get() - target.get(), now);
        }
        self.meter.redefine(definition.kind, target, now);
        self.capacity = target;
        self.pending_decrease = None;
        true
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
