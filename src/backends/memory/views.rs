//! What the books look like from outside.

use super::ledger::Ledger;
use crate::backends::{DefinitionTotals, HeldAmount, LeaseView, Registered, Totals, Usage, UsagePage};
use crate::policy::{Key, LeaseId, Limit, LimitIndex, Moment};

impl Ledger {
    pub(super) fn lease_view(&self, lease_id: LeaseId, now: Moment) -> Option<LeaseView> {
        let lease = self.leases.get(self.leases.find(lease_id)?);
        let holds = lease.live_holds(now);
        let labels = lease.labels().cloned().unwrap_or_default();
        let held = holds.unwrap_or_default().iter().map(|hold| {
            let key = self.limits.slot(hold.limit).key.clone();
            HeldAmount { key, amount: hold.amount, expires_at: hold.id.expires_at() }
        });
        Some(LeaseView {
            lease_id,
            reserved_at_unix_ms: lease.reserved_at_unix_ms(),
            job_id: labels.job_id,
            tenant: labels.tenant,
            holds: held.collect(),
            is_live: holds.is_some(),
        })
    }

    pub(super) fn usage(&mut self, key: &Key, now: Moment) -> Option<Usage> {
        if let Some(index) = self.limits.existing(key, now) {
            return self.usage_at(index, now);
        }
        // What the first use would find.
        let registered = self.limits.definition_of(key)?;
        Some(view(key, registered, &mut Limit::new(&registered.definition, now), now))
    }

    pub(super) fn usages(&mut self, cursor: u64, count: usize, now: Moment) -> UsagePage {
        let cursor = usize::try_from(cursor).unwrap_or(usize::MAX);
        let mut page: Vec<_> = self.limits.from(cursor).take(count.saturating_add(1)).collect();
        let next = if count < page.len() { page.pop() } else { None };
        let keys: Vec<_> = page.into_iter().map(|(_, index)| self.limits.slot(index).key.clone()).collect();
        let limits = keys.iter().filter_map(|key| self.usage(key, now)).collect();
        UsagePage { limits, next_cursor: next.map(|(place, _)| place as u64) }
    }

    pub(super) fn totals(&self, now: Moment) -> Totals {
        let definitions = self.limits.families().map(|family| DefinitionTotals {
            pattern: family.definition().pattern.clone(),
            counters: family.counters,
            is_paused: now < family.paused_until,
        });
        Totals {
            limits: self.limits.len() as u64,
            live_leases: self.counters.granted - self.counters.completed - self.counters.expired,
            decided: self.counters.decided,
            granted: self.counters.granted,
            denied: self.counters.denied,
            completed: self.counters.completed,
            expired: self.counters.expired,
            definitions: definitions.collect(),
        }
    }

    fn usage_at(&mut self, index: LimitIndex, now: Moment) -> Option<Usage> {
        let (slot, family) = self.limits.with_family(index);
        Some(view(&slot.key, &family?.registered, &mut slot.limit, now))
    }
}

fn view(key: &Key, registered: &Registered, limit: &mut Limit, now: Moment) -> Usage {
    let pattern = &registered.definition.pattern;
    Usage {
        key: key.clone(),
        template: pattern.is_template().then(|| pattern.clone()),
        definition: registered.definition.clone().into(),
        available: limit.available(now),
        withheld: limit.withheld(now),
        paused_until: limit.paused_until(now),
        capacity: limit.capacity(),
        debt: limit.debt(),
        state: limit.state(),
        counters: limit.counters(),
    }
}
