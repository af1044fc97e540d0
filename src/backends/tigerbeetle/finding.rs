//! Finding a lease: among those that this server has, or in the ledger, which has them all.

use std::collections::HashMap;
use std::sync::Arc;

use tigerbeetle_unofficial::Account;

use super::books::{Books, Trouble};
use super::lease::{Held, LeaseRecord};
use super::limit::{Limit, Terms};
use crate::backends::{HeldAmount, LeaseView};
use crate::policy::{Amounts, Grant, Key, LeaseId, Reason, Refusal, Reserve};

/// As many transfers of a lease are read: the last renewal of 32 slots has 64 of them.
const RENEWALS_MAX: u32 = 200;

/// As many are read of how a lease began.
const HOLDS_MAX: u32 = 32;

/// Which limit an account belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) hash: u128,
    pub(super) generation: u32,
}

impl Books {
    /// A lease, from here if it is here and can be gone by.
    pub(super) async fn find_lease(&self, id: LeaseId) -> Result<Option<LeaseRecord>, Trouble> {
        match self.leases.get(id) {
            Some(lease) if lease.is_sure(self.session.cluster_ns()) => Ok(Some(lease)),
            // Boxed: it is rare, and larger than the rest.
            _ => Box::pin(self.read_lease(id)).await,
        }
    }

    /// A lease as the ledger has it now: another server may have renewed or completed it.
    pub(super) async fn read_lease(&self, id: LeaseId) -> Result<Option<LeaseRecord>, Trouble> {
        let mut transfers = self.of_lease(id, RENEWALS_MAX, true).await?;
        if transfers.len() == RENEWALS_MAX as usize {
            // How it began; what was renewed in between does not matter.
            let oldest = transfers.last().map_or(0, |oldest| oldest.as_raw().timestamp);
            let mut first = self.of_lease(id, HOLDS_MAX, false).await?;
            first.retain(|transfer| transfer.as_raw().timestamp < oldest);
            transfers.extend(first.into_iter().rev());
        }
        transfers.reverse();
        let Some(mut lease) = LeaseRecord::read(id, &transfers) else { return Ok(None) };
        if let Some(known) = self.leases.get(id) {
            lease.granted_at_ns = known.granted_at_ns;
            lease.labels = known.labels;
        }
        Ok(Some(lease))
    }

    /// What a reservation is told whose lease is there: the same grant, or why not. `None` if there is none.
    pub(super) async fn known(&self, request: &Reserve) -> Result<Option<Result<Grant, Box<Refusal>>>, Trouble> {
        let id = request.lease_id;
        let Some(lease) = self.read_lease(id).await? else { return Ok(None) };
        let refuse = |reason| Ok(Some(Err(Box::new(Refusal::permanent(reason)))));
        if !lease.is_live(self.session.cluster_ns()) {
            return refuse(Reason::LeaseFinished);
        }
        if !lease.is_for(self.tags(&request.amounts).into_iter()) {
            let problem =
                "`lease_id` is in use for other `requirements`; send a new `lease_id` with every new reservation";
            return refuse(Reason::InvalidRequest(problem.to_owned()));
        }
        let grant = Grant { lease_id: id, reserved_at_unix_ms: lease.granted_at_ns / 1_000_000 };
        let is_taken = match self.leases.take(id) {
            Some(is_taken) => is_taken,
            None => {
                // From now on the server that made the grant does not give it back.
                let written = self.write_chain(Vec::new(), vec![self.chart.taken(id)]).await?;
                if written.cause.is_some() && self.read_lease(id).await?.is_none_or(|lease| lease.is_finished) {
                    return refuse(Reason::LeaseFinished); // It was given back just before.
                }
                self.leases.put_taken(lease)
            }
        };
        if is_taken { Ok(Some(Ok(grant))) } else { refuse(Reason::LeaseFinished) }
    }

    /// What stands for the keys of a request, in the order in which its holds are made.
    fn tags(&self, amounts: &Amounts) -> Vec<(u64, u128)> {
        let mut amounts: Vec<_> = amounts.iter().collect();
        amounts.sort_unstable_by(|one, other| one.key.as_str().cmp(other.key.as_str()));
        amounts.into_iter().map(|amount| (self.tag(&amount.key), amount.amount)).collect()
    }

    /// What stands for a key beside its holds.
    pub(super) fn tag(&self, key: &Key) -> u64 {
        let known = self.limits.existing(key).map(|limit| limit.hash);
        known.unwrap_or_else(|| self.chart.ids.key(key)) as u64
    }

    /// The limit that a hold is charged to, if this server has it open.
    pub(super) fn charged_limit(&self, hold: &Held) -> Option<(Arc<Limit>, Terms)> {
        let limit = self.limits.with_tag(hold.tag)?;
        let terms = limit.terms(&self.chart, self.clock.now())?;
        (terms.accounts.limit == hold.account).then_some((limit, terms))
    }

    /// Whose accounts these holds are charged to, by account: a key that this server never saw is in the ledger too.
    pub(super) async fn owners(&self, holds: impl Iterator<Item = &Held>) -> Result<HashMap<u128, Owner>, Trouble> {
        let accounts = holds.map(|hold| hold.account).filter(|account| *account != self.chart.operator);
        let found = self.session.lookup_accounts(accounts.collect()).await?.value;
        let owner = |account: &Account| Owner { hash: account.user_data_128(), generation: account.user_data_32() };
        Ok(found.iter().map(|account| (account.id(), owner(account))).collect())
    }

    /// One lease, for people.
    pub(super) async fn lease_view(&self, id: LeaseId) -> Result<Option<LeaseView>, Trouble> {
        let Some(lease) = self.read_lease(id).await? else { return Ok(None) };
        let is_live = lease.is_live(self.session.cluster_ns());
        let shown = |hold: &Held| HeldAmount {
            key: self.key_of(hold.tag),
            amount: u64::try_from(hold.amount).unwrap_or(u64::MAX),
            expires_at: self.session.moment_of(hold.expires_at_ns),
        };
        Ok(Some(LeaseView {
            lease_id: id,
            reserved_at_unix_ms: lease.granted_at_ns / 1_000_000,
            holds: if is_live { lease.holds.iter().map(shown).collect() } else { Vec::new() },
            job_id: lease.labels.job_id,
            tenant: lease.labels.tenant,
            is_live,
        }))
    }

    /// The key that a tag stands for. One that this server never saw is shown by the tag itself.
    fn key_of(&self, tag: u64) -> Key {
        let unknown = || Key::parse(&format!("unknown:{tag:016x}")).expect("letters, digits and a colon");
        self.limits.with_tag(tag).map_or_else(unknown, |limit| limit.key.clone())
    }
}
