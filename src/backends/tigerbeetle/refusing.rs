//! What limits have free, asked of the ledger, and what a refused request is told.

use std::sync::Arc;

use super::books::{Books, Trouble};
use super::chart::LimitAccounts;
use super::limit::{Limit, Terms};
use super::line::Line;
use crate::backends::refusal::{Failing, refusal_of};
use crate::policy::{Definition, FreeAt, Moment, Refusal, Verdict};

/// As many limits are looked up at once as fit into a packet of a development server.
const LOOKUP_LIMITS_MAX: usize = 50;

/// What the accounts of a limit say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) free: u64,
    pub(super) owed: u128,
    pub(super) debt: u128,
}

impl Books {
    /// What these limits have, after what flowed back and what is owed was seen to.
    pub(super) async fn balances(&self, limits: &[(Arc<Limit>, Terms)]) -> Result<Vec<Balance>, Trouble> {
        let mut balances = Vec::with_capacity(limits.len());
        for limits in limits.chunks(LOOKUP_LIMITS_MAX) {
            let mut due = Vec::new();
            let cluster_ns = self.session.cluster_ns();
            limits.iter().for_each(|(limit, terms)| self.prelude(limit, terms, cluster_ns, &mut due));
            if !due.is_empty() {
                self.write_each(&due).await?;
                limits.iter().for_each(|(limit, terms)| self.arrived(limit, terms, cluster_ns));
            }
            let ids: Vec<u128> = limits.iter().flat_map(|(_, terms)| terms.accounts.all()).collect();
            let accounts = self.session.lookup_accounts(ids).await?.value;
            let find = |id: u128| accounts.iter().find(|account| account.id() == id);
            for (limit, terms) in limits {
                let LimitAccounts { limit: main, owed, debt, .. } = terms.accounts;
                let free = find(main).map_or(0, |account| {
                    let taken = account.debits_posted() + account.debits_pending();
                    account.credits_posted().saturating_sub(taken)
                });
                let open =
                    |id| find(id).map_or(0, |account| account.debits_posted().saturating_sub(account.credits_posted()));
                let balance =
                    Balance { free: u64::try_from(free).unwrap_or(u64::MAX), owed: open(owed), debt: open(debt) };
                let mut state = limit.lock();
                (state.owes, state.looked_at) = (balance.owed != 0, self.clock.now());
                drop(state);
                balances.push(balance);
            }
        }
        Ok(balances)
    }

    /// Why these cannot be had now; `None` if they can, or if only shadow limits object.
    pub(super) async fn explain(&self, lines: &[Line]) -> Result<Option<Refusal>, Trouble> {
        let open: Vec<_> =
            lines.iter().filter_map(|line| Some((Arc::clone(&line.limit), line.terms.clone()?))).collect();
        let mut balances = self.balances(&open).await?.into_iter();
        let now = self.clock.now();
        let mut in_order: Vec<_> =
            lines.iter().map(|line| (line, line.terms.as_ref().and_then(|_| balances.next()))).collect();
        in_order.sort_by_key(|(line, _)| line.at);
        let failing = in_order.into_iter().filter_map(|(line, balance)| self.failing(line, balance, now));
        Ok(refusal_of(failing, now, self.settings.decreasing_retry_after))
    }

    fn failing<'a>(&self, line: &'a Line, balance: Option<Balance>, now: Moment) -> Option<Failing<'a>> {
        let registered = line.limit.registered();
        let Definition { capacity, .. } = registered.definition;
        let (wanted, capacity) = match &line.terms {
            Some(terms) if !terms.enforces() => return None,
            Some(terms) => (terms.standing.wanted.get(), terms.standing.capacity.get()),
            None => (capacity.get(), capacity.get()),
        };
        let withheld = line.terms.as_ref().map_or(0, |terms| terms.withheld);
        let available = balance.map_or(capacity, |balance| balance.free).saturating_sub(withheld);
        let verdict = match (u64::try_from(line.amount), &line.terms) {
            (Ok(amount), _) if wanted < amount => Verdict::NeverFits,
            (Err(_), _) => Verdict::NeverFits,
            (Ok(_), Some(terms)) if terms.standing.is_decreasing() => Verdict::Decreasing,
            (Ok(amount), Some(Terms { paused_until: Some(until), .. })) => {
                Verdict::Paused(self.when_free(line, amount, available, now, *until))
            }
            // A peek of nothing asks about the key alone.
            (Ok(amount), _) if amount <= available || amount == 0 => return None,
            (Ok(amount), _) => Verdict::Wait(self.when_free(line, amount, available, now, Moment::START)),
        };
        Some(Failing { key: &line.limit.key, verdict, capacity, available })
    }

    /// Nobody knows when other servers' leases end, but when a bucket fills is certain.
    fn when_free(&self, line: &Line, amount: u64, available: u64, now: Moment, not_before: Moment) -> FreeAt {
        let Some(terms) = &line.terms else { return FreeAt { expected: now.max(not_before), earliest: not_before } };
        let missing = amount.saturating_sub(available);
        let wait = match terms.ticks {
            _ if missing == 0 => std::time::Duration::ZERO,
            Some(ticks) => ticks.wait_for(missing, self.session.cluster_ns()),
            None => line.limit.backoff(terms.standing.kind),
        };
        FreeAt { expected: now.after(wait).max(not_before), earliest: not_before }
    }
}
