//! What becomes of each hold of a lease that ends: what was not used is given back, what was used beyond is charged, by
//! the limit's policy.

use std::sync::Arc;

use tigerbeetle_unofficial::Transfer;

use super::books::Books;
use super::chart::{Code, LimitAccounts};
use super::lease::{Held, HoldTerms, LeaseRecord, NANOS_PER_SECOND};
use super::limit::{Limit, Terms};
use crate::policy::{Kind, Overage};

/// What is to be done about one hold.
pub(super) struct Settlement {
    pub(super) hold: Held,
    /// What was used, if the caller says so.
    pub(super) actual: Option<u128>,
    /// `None` if its limit is not defined here any more: what was used beyond counts nowhere.
    pub(super) limit: Option<(Arc<Limit>, Terms)>,
    pub(super) accounts: Option<LimitAccounts>,
    /// What is free for what was used beyond, where that is known.
    pub(super) free: u64,
}

impl Settlement {
    pub(super) fn excess(&self) -> u64 {
        let excess = self.actual.map_or(0, |actual| actual.saturating_sub(self.hold.amount));
        if matches!(self.hold.code, Code::RollingHold | Code::BucketSpend) && self.limit.is_some() {
            u64::try_from(excess).unwrap_or(u64::MAX)
        } else {
            0 // What is held at once is over; and what was not charged is not charged more.
        }
    }

    pub(super) fn unused(&self) -> u128 {
        self.actual.map_or(0, |actual| self.hold.amount.saturating_sub(actual))
    }

    pub(super) fn frees(&self, now_ns: u64) -> bool {
        let is_slot = self.hold.code.is_slot();
        self.hold.is_live(now_ns) && (is_slot || self.unused() != 0)
    }
}

impl Books {
    /// The chain that ends a lease, and what is to be tried after it.
    pub(super) fn settling_chain(
        &self,
        lease: &LeaseRecord,
        settlements: &[Settlement],
        attempt: usize,
        now_ns: u64,
        gives_back: bool,
    ) -> (Vec<Transfer>, Vec<Transfer>) {
        let mut chain = vec![self.chart.finish(lease.id)];
        if gives_back {
            // Fails where another server has granted it again meanwhile.
            chain.push(self.chart.taken(lease.id));
        }
        let mut collects = Vec::new();
        for (position, settlement) in (0_u32..).zip(settlements) {
            self.give_back_unused(lease, position, settlement, now_ns, &mut chain);
            self.charge_excess(lease, position, settlement, attempt, &mut chain);
            if let Some((limit, terms)) = &settlement.limit
                && (limit.lock().owes || (terms.overage() == Overage::Repay && settlement.excess() != 0))
            {
                collects.push(self.chart.collect(&terms.accounts, self.unix_ms()));
            }
        }
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
        let charged = match terms.overage() {
            Overage::Repay => excess,
            Overage::Debt | Overage::Deny => fitting,
        };
        if rest != 0 {
            match terms.overage() {
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
}

/// The same hold once more.
pub(super) fn again(hold: &Held) -> HoldTerms {
    let Held { code, account, tag, amount, .. } = *hold;
    HoldTerms { code, account, spent: 0, tag, amount, seconds: 1 }
}
