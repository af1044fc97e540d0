//! The plainest possible ledger: lists of holds, milliseconds, and searching through everything each time.

use std::collections::{BTreeMap, HashMap};

use tollgate::policy::{Amounts, DefinitionFields, LeaseId, Mode};

use super::meter::{Hold, Limit};

/// How long a finished lease is remembered at least.
const FINISHED_MEMORY_MS: u64 = 60_000;

/// What a request is told: granted, or the code and the wait.
pub(super) type Answer = Result<(), (String, u64)>;

struct Lease {
    amounts: BTreeMap<String, u64>,
    holds: Vec<(String, Hold)>,
    completed_at: Option<u64>,
    /// Its end was noticed by housekeeping.
    is_swept: bool,
}

impl Lease {
    fn last_expiry(&self) -> u64 {
        self.holds.iter().map(|(_, hold)| hold.expires_at).max().expect("a lease holds something")
    }

    fn is_live(&self, now: u64) -> bool {
        self.completed_at.is_none() && now < self.last_expiry()
    }

    fn forget_at(&self) -> u64 {
        self.last_expiry().max(self.completed_at.unwrap_or(self.last_expiry()) + FINISHED_MEMORY_MS)
    }
}

#[derive(Default)]
pub(super) struct Model {
    limits: HashMap<String, Limit>,
    leases: HashMap<LeaseId, Lease>,
    next_hold: u64,
}

impl Model {
    /// Returns the capacity that a decrease waits for.
    pub(super) fn put(&mut self, fields: DefinitionFields, now: u64) -> Option<u64> {
        match self.limits.get_mut(&fields.key) {
            Some(limit) => {
                limit.redefine(fields, now);
                limit.pending
            }
            None => {
                self.limits.insert(fields.key.clone(), Limit::new(fields, now));
                None
            }
        }
    }

    pub(super) fn reserve(&mut self, id: LeaseId, amounts: &Amounts, now: u64) -> Answer {
        let wanted: Vec<_> =
            amounts.iter().map(|a| (a.key.to_string(), u64::try_from(a.amount).expect("small"))).collect();
        if let Some(lease) = self.leases.get(&id) {
            let refuse = |code: &str| Err((code.to_owned(), 0));
            return match lease.is_live(now) {
                false => refuse("lease_finished"),
                true if lease.amounts != wanted.iter().cloned().collect() => refuse("invalid_request"),
                true => Ok(()),
            };
        }
        self.check_known(&wanted)?;
        if !wanted.iter().all(|(key, amount)| self.limit(key).refusal(*amount, now).is_none()) {
            wanted.iter().for_each(|(key, _)| self.limit(key).apply_decrease(now));
        }
        self.check_room(&wanted, now)?;
        let mut holds = Vec::new();
        for (key, amount) in &wanted {
            self.next_hold += 1;
            let hold = self.next_hold;
            holds.push((key.clone(), self.limit(key).reserve(hold, *amount, now)));
        }
        let amounts = wanted.into_iter().collect();
        self.leases.insert(id, Lease { amounts, holds, completed_at: None, is_swept: false });
        Ok(())
    }

    pub(super) fn peek(&mut self, amounts: &Amounts, now: u64) -> Answer {
        let wanted: Vec<_> =
            amounts.iter().map(|a| (a.key.to_string(), u64::try_from(a.amount).expect("small"))).collect();
        self.check_known(&wanted)?;
        self.check_room(&wanted, now)
    }

    /// Returns whether it was allowed.
    pub(super) fn complete(&mut self, id: LeaseId, actuals: &[(&str, u64)], now: u64) -> bool {
        let Some(lease) = self.leases.get_mut(&id).filter(|lease| lease.is_live(now)) else { return true };
        if actuals.iter().any(|(key, _)| !lease.amounts.contains_key(*key)) {
            return false;
        }
        lease.completed_at = Some(now);
        for (key, hold) in lease.holds.clone() {
            let stated: Vec<_> = actuals.iter().filter(|(other, _)| *other == key).map(|(_, used)| *used).collect();
            let actual = if stated.is_empty() { hold.amount } else { stated.iter().sum() };
            self.next_hold += 1;
            let overage = self.next_hold;
            self.limit(&key).complete(&hold, actual, overage, now);
            self.limit(&key).apply_decrease(now);
        }
        true
    }

    /// Returns whether it was allowed.
    pub(super) fn renew(&mut self, id: LeaseId, seconds: Option<u64>, now: u64) -> bool {
        let Some(lease) = self.leases.get_mut(&id).filter(|lease| lease.is_live(now)) else { return false };
        let limits = &mut self.limits;
        let can_renew = |(key, hold): &(String, Hold)| !limits[key].is_concurrency() || now < hold.expires_at;
        if !lease.holds.iter().all(can_renew) {
            return false;
        }
        for (key, hold) in &mut lease.holds {
            limits.get_mut(key).expect("limits are never removed").renew(hold, seconds, now);
        }
        true
    }

    pub(super) fn settle(&mut self, key: &str, now: u64) {
        self.limit(key).apply_decrease(now);
    }

    /// Housekeeping: expired leases drive the decreases of their limits, and what is long over is forgotten.
    pub(super) fn sweep(&mut self, now: u64) {
        for lease in self.leases.values_mut() {
            if lease.completed_at.is_none() && lease.last_expiry() <= now && !lease.is_swept {
                lease.is_swept = true;
                for (key, _) in &lease.holds {
                    self.limits.get_mut(key).expect("limits are never removed").apply_decrease(now);
                }
            }
        }
        self.leases.retain(|_, lease| lease.is_live(now) || now < lease.forget_at());
    }

    pub(super) fn pause(&mut self, key: &str, until: u64, now: u64) {
        if let Some(limit) = self.limits.get_mut(key) {
            limit.pause(until, now);
        }
    }

    pub(super) fn tighten(&mut self, key: &str, remaining: u64, until: u64, now: u64) {
        if let Some(limit) = self.limits.get_mut(key) {
            limit.tighten(remaining, until, now);
        }
    }

    /// Capacity, available, debt, what is withheld, and how long it is still paused.
    pub(super) fn look(&mut self, key: &str, now: u64) -> Option<(u64, u64, u128, u64, u64)> {
        let limit = self.limits.get_mut(key)?;
        limit.advance(now);
        let (available, withheld) = (limit.available(now).saturating_sub(limit.withheld(now)), limit.withheld(now));
        Some((limit.capacity, available, limit.debt, withheld, limit.paused_until.saturating_sub(now)))
    }

    pub(super) fn is_live(&self, id: LeaseId, now: u64) -> bool {
        self.leases.get(&id).is_some_and(|lease| lease.is_live(now))
    }

    pub(super) fn keys_of(&self, id: LeaseId) -> Vec<String> {
        self.leases.get(&id).map_or_else(Vec::new, |lease| lease.amounts.keys().cloned().collect())
    }

    fn check_known(&self, wanted: &[(String, u64)]) -> Answer {
        match wanted.iter().find(|(key, _)| !self.limits.contains_key(key)) {
            Some((unknown, _)) => Err((format!("unknown_limit_key:{unknown}"), 0)),
            None => Ok(()),
        }
    }

    /// The first of the best reasons, and the longest wait.
    fn check_room(&mut self, wanted: &[(String, u64)], now: u64) -> Answer {
        let mut failed = Vec::new();
        for (key, amount) in wanted {
            let limit = self.limit(key);
            if limit.fields.mode == Mode::Enforce
                && let Some((reason, wait)) = limit.refusal(*amount, now)
            {
                failed.push((reason, key, wait));
            }
        }
        for reason in ["never_fits", "limit_decreasing", "limit_paused"] {
            if let Some((_, key, _)) = failed.iter().find(|(other, _, _)| *other == reason) {
                let longest = failed.iter().map(|(_, _, wait)| *wait).max().unwrap_or(0);
                return Err((format!("{reason}:{key}"), if reason == "never_fits" { 0 } else { longest }));
            }
        }
        match failed.iter().map(|(_, _, wait)| *wait).max() {
            Some(longest) => Err((String::new(), longest.max(1))),
            None => Ok(()),
        }
    }

    fn limit(&mut self, key: &str) -> &mut Limit {
        self.limits.get_mut(key).expect("limits are never removed")
    }
}
