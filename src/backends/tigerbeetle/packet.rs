//! The packet of one attempt at a reservation: what flowed back and what is owed, then the chain of holds.

use smallvec::SmallVec;
use tigerbeetle_unofficial::Transfer;

use super::books::{Attempts, Books};
use super::chart::Code;
use super::ids::Holds;
use super::lease::{Held, HoldTerms};
use super::limit::Terms;
use super::line::Line;
use super::ticks;
use crate::policy::{Kind, LeaseId, Moment};

/// What a member of the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// The hold of the line at this place.
    Hold(usize),
    /// A look whether so much remains of its limit. Its id is burned for nobody.
    Guard(usize),
}

/// The transfers of one attempt.
pub(super) struct Packet {
    pub(super) prelude: Vec<Transfer>,
    pub(super) chain: Vec<Transfer>,
    pub(super) ids: Holds,
    /// The time of the cluster up to which it refills.
    pub(super) cluster_ns: u64,
}

/// What the member of the chain at this place is.
pub(super) fn member_at(lines: &[Line], place: usize) -> Member {
    let guards = |line: &Line| if line.is_guarded() { 2 } else { 0 };
    let mut members = lines.iter().enumerate().flat_map(|(at, line)| {
        std::iter::once(Member::Hold(at)).chain(std::iter::repeat_n(Member::Guard(at), guards(line)))
    });
    members.nth(place).expect("a member of the chain")
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("at most 32 keys")
}

fn id_of(ids: Holds, at: usize, failed: &Attempts) -> u128 {
    ids.at(position(at), failed.get(at).copied().unwrap_or(0))
}

impl Books {
    /// The id of each hold says how often it failed. The first hold has the same id for whatever is asked under one
    /// lease id, so that of all who ask one is granted: to the others the lease is known.
    pub(super) fn packet(&self, lease_id: LeaseId, lines: &[Line], failed: &Attempts, now: Moment) -> Packet {
        let (cluster_ns, ids) = (self.session.cluster_ns_at(now), self.chart.ids.holds(lease_id));
        let mut prelude = Vec::new();
        let mut chain = Vec::with_capacity(lines.len());
        for (at, line) in lines.iter().enumerate() {
            self.prelude(&line.limit, line.terms(), cluster_ns, &mut prelude);
            let (position, id) = (position(at), id_of(ids, at, failed));
            chain.push(self.chart.hold(lease_id, id, position, &self.hold_terms(line)));
            if line.is_guarded() {
                chain.extend(self.guard(line.terms()));
            }
        }
        Packet { prelude, chain, ids, cluster_ns }
    }

    /// What the chain of these holds, once it was taken.
    pub(super) fn holds(&self, ids: Holds, lines: &[Line], failed: &Attempts, cluster_ns: u64) -> SmallVec<[Held; 4]> {
        let hold = |(at, line)| self.hold_terms(line).taken_at(id_of(ids, at, failed), cluster_ns);
        lines.iter().enumerate().map(hold).collect()
    }

    fn hold_terms(&self, line: &Line) -> HoldTerms {
        let terms = line.terms();
        let (code, seconds) = match terms.standing.kind {
            Kind::Rolling { window } => (Code::RollingHold, window.get()),
            Kind::Concurrency { timeout } => (Code::ConcurrencyHold, timeout.get()),
            Kind::TokenBucket { refill_amount, refill_period } => {
                let lease = ticks::lease_seconds(terms.standing.wanted.get(), refill_amount.get(), refill_period);
                (Code::BucketSpend, lease.into())
            }
        };
        let seconds = u32::try_from(seconds).expect("a period of at most a hundred years");
        let (tag, amount, spent) = (line.limit.hash as u64, line.amount, terms.accounts.spent);
        if line.is_charged {
            return HoldTerms { code, account: terms.accounts.limit, spent, tag, amount, seconds };
        }
        let code = if code.is_slot() { Code::UnchargedSlot } else { Code::UnchargedHold };
        HoldTerms { code, account: self.chart.operator, spent, tag, amount, seconds }
    }

    fn guard(&self, terms: &Terms) -> [Transfer; 2] {
        let (limit, operator, amount) = (terms.accounts.limit, self.chart.operator, u128::from(terms.withheld));
        let moved = |from, to| self.chart.posted(self.chart.ids.fresh(self.unix_ms()), Code::Guard, from, to, amount);
        [moved(limit, operator), moved(operator, limit)]
    }
}
