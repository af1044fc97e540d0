//! Bringing a limit in the ledger up to date with its definition: its accounts, its capacity, its log. Every step can
//! be done again, by any server, and takes effect once.

use tigerbeetle_unofficial::Transfer;
use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;

use super::books::{Books, Trouble, Written};
use super::chart::{Code, LimitAccounts};
use super::comparing::{Compared, Demand};
use super::definition_log::{Entry, Found, Origin, Standing};
use super::limit::{Limit, Terms};
use super::step::{Step, Wanted};
use crate::policy::Kind;

/// How often another server may be faster before this one gives up for now.
pub(super) const TRIES: usize = 16;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    Written,
    /// Another server wrote an entry with this number first, or this one did, and got no answer.
    TooLate,
    /// So much is not free now.
    NotFree,
    /// The number is used up without an entry: the next one is to be tried.
    Burned,
}

impl Books {
    /// The terms of a limit, after it was made or changed in the ledger if need be.
    pub(super) async fn open(&self, limit: &Limit) -> Result<Terms, Trouble> {
        if let Some(known) = self.as_known(limit) {
            return known;
        }
        let _turn = limit.opening.lock().await;
        // Somebody else may have opened it meanwhile.
        match self.as_known(limit) {
            Some(known) => known,
            None => Ok(self.reconcile(limit).await?.0),
        }
    }

    /// The same as far as the ledger need not be asked.
    fn as_known(&self, limit: &Limit) -> Option<Result<Terms, Trouble>> {
        let now = self.clock.now();
        let deleted = |version| Err(Trouble::Deleted { key: limit.key.clone(), version });
        limit.terms(&self.chart, now).map(Ok).or_else(|| limit.deleted(now).map(deleted))
    }

    /// Puts the definition of a limit in force; says beside its terms which newer version the ledger has, if any.
    pub(super) async fn bring_up_to_date(&self, limit: &Limit) -> Result<(Terms, Option<u64>), Trouble> {
        let _turn = limit.opening.lock().await;
        self.reconcile(limit).await
    }

    async fn reconcile(&self, limit: &Limit) -> Result<(Terms, Option<u64>), Trouble> {
        let (mut burned, mut surely_there) = (0, None);
        for _ in 0..TRIES {
            let compared = self.compare(limit).await;
            if let Err(Trouble::Deleted { version, .. }) = &compared {
                limit.note_deleted(*version, self.clock.now());
            }
            let Compared { demand: Demand { registered, wanted, deleted, .. }, found, step } = compared?;
            let entered = match (step, found) {
                (Step::Keep, Found::Limit(standing)) if limit.has_newest(standing.seq) => {
                    return Ok((self.opened(limit, standing), deleted));
                }
                (Step::Superseded { version }, Found::Limit(standing)) if limit.has_newest(standing.seq) => {
                    tracing::warn!(
                        key = %limit.key, own_version = registered.version, ledger_version = version,
                        "the ledger has a newer or closer definition of this limit, which is followed"
                    );
                    return Ok((self.opened(limit, standing), deleted.or(Some(version))));
                }
                (Step::Keep | Step::Superseded { .. }, Found::Limit(_)) => continue, // There is a newer entry by now.
                // Its template may have been deleted, and this server not know yet.
                (Step::Begin { .. } | Step::Change { .. } | Step::Lower { .. }, found)
                    if surely_there != Some(wanted.origin) && is_taken_over(&found, &wanted) =>
                {
                    self.bring_template_up_to_date(&registered).await?;
                    surely_there = Some(wanted.origin);
                    continue;
                }
                (Step::Begin { seq }, found) => self.begin(limit.hash, seq + burned, &found, &wanted).await?,
                (Step::Change { seq, raise }, Found::Limit(standing)) => {
                    self.change(limit, standing, seq + burned, &wanted, raise).await?
                }
                (Step::Lower { seq, by }, Found::Limit(standing)) => {
                    let seq = seq + burned;
                    match self.lower(limit, standing, seq, &wanted, by).await? {
                        Entered::NotFree => {
                            let Standing { generation, capacity, .. } = standing;
                            let entry = Entry::Lowering { generation, capacity };
                            let chain = self.chart.entry(limit.hash, seq, entry, standing.deleted_version, &wanted);
                            self.enter(limit, standing, chain).await?
                        }
                        entered => entered,
                    }
                }
                (step, _) => unreachable!("{step:?} is of a limit that was found"),
            };
            burned = if entered == Entered::Burned { burned + 1 } else { 0 };
        }
        Err(Trouble::Fault(format!("the definition of `{}` changes faster than it can be put in force", limit.key)))
    }

    /// The same for a limit that is in the ledger already; makes none.
    pub(super) async fn open_if_there(&self, limit: &Limit) -> Result<Option<Terms>, Trouble> {
        if let Some(known) = self.as_known(limit) {
            return known.map(Some);
        }
        let Compared { demand, found, .. } = self.compare(limit).await?;
        match found {
            // Unless it is to be what the next definition says: here it is known as what was deleted.
            Found::Nothing { .. } if demand.deleted.is_none() => Ok(None),
            _ => self.open(limit).await.map(Some),
        }
    }

    /// Tries to apply a pending decrease; says the terms that hold then.
    pub(super) async fn settle_decrease(&self, limit: &Limit) -> Result<Terms, Trouble> {
        let terms = self.open(limit).await?;
        if !terms.standing.is_decreasing() {
            return Ok(terms);
        }
        let standing = terms.standing;
        let by = standing.capacity.get() - standing.wanted.get();
        match self.lower(limit, standing, standing.seq + 1, &standing.wanted(), by).await? {
            Entered::NotFree => Ok(terms),
            Entered::Written | Entered::TooLate | Entered::Burned => {
                limit.close_if(standing.seq);
                let settled = self.open(limit).await?;
                self.tell_freed(limit);
                Ok(settled)
            }
        }
    }

    fn opened(&self, limit: &Limit, standing: Standing) -> Terms {
        let mut state = limit.lock();
        if state.standing.map(|before| before.seq) != Some(standing.seq) {
            state.ticked = 0;
        }
        // Until somebody looked, it may owe something.
        state.owes = true;
        state.newest_seq = state.newest_seq.max(standing.seq);
        (state.standing, state.deleted) = (Some(standing), None);
        drop(state);
        limit.terms_of(standing, &self.chart, self.clock.now())
    }

    async fn begin(&self, hash: u128, seq: u32, before: &Found, wanted: &Wanted) -> Result<Entered, Trouble> {
        // Those that all limits share too: somebody may have formatted the cluster anew.
        let accounts = [self.chart.shared_accounts(), self.chart.limit_accounts(hash, seq)].concat();
        self.make_accounts(accounts).await?;
        let account = self.chart.accounts_of(hash, seq).limit;
        let mut chain = self.chart.entry(hash, seq, Entry::Begin, before.deleted_version(), wanted);
        chain.push(self.capacity_move(self.chart.operator, account, wanted.capacity.get()));
        if let Found::Limit(standing) = before {
            chain.push(self.drain(hash, standing));
        }
        entered(&self.write_chain(Vec::new(), chain).await?)
    }

    /// Takes what is free of a limit that is no longer used, so that servers that do not know yet grant nothing more.
    pub(super) fn drain(&self, hash: u128, standing: &Standing) -> Transfer {
        let account = self.chart.accounts_of(hash, standing.generation).limit;
        let id = self.chart.ids.fresh(self.unix_ms());
        self.chart.posted_as_far_as_there(id, Code::Capacity, account, self.chart.operator, u128::MAX)
    }

    async fn change(
        &self,
        limit: &Limit,
        standing: Standing,
        seq: u32,
        wanted: &Wanted,
        raise: u64,
    ) -> Result<Entered, Trouble> {
        let generation = standing.generation;
        let entry = Entry::Change { generation };
        let mut chain = self.chart.entry(limit.hash, seq, entry, standing.deleted_version, wanted);
        if raise != 0 {
            let LimitAccounts { limit: account, spent, .. } = self.chart.accounts_of(limit.hash, generation);
            chain.push(self.capacity_move(self.chart.operator, account, raise));
            if let Kind::TokenBucket { .. } = wanted.kind {
                chain.push(self.capacity_move(account, spent, raise)); // It has to flow in.
            }
        }
        self.enter(limit, standing, chain).await
    }

    /// Takes capacity back if so much is free, in one step with the entry that says so.
    async fn lower(
        &self,
        limit: &Limit,
        standing: Standing,
        seq: u32,
        wanted: &Wanted,
        by: u64,
    ) -> Result<Entered, Trouble> {
        let generation = standing.generation;
        let accounts = self.chart.accounts_of(limit.hash, generation);
        let entry = Entry::Change { generation };
        let mut chain = self.chart.entry(limit.hash, seq, entry, standing.deleted_version, wanted);
        chain.push(self.capacity_move(accounts.limit, self.chart.operator, by));
        self.enter(limit, standing, chain).await
    }

    /// Writes an entry after another one. What flowed back by the old rule comes first: the ticks of the new one begin
    /// with it.
    async fn enter(&self, limit: &Limit, before: Standing, chain: Vec<Transfer>) -> Result<Entered, Trouble> {
        let cluster_ns = self.session.cluster_ns();
        let mut prelude = Vec::new();
        let terms = limit.terms_of(before, &self.chart, self.clock.now());
        self.prelude(limit, &terms, cluster_ns, &mut prelude);
        let written = self.write_chain(prelude, chain).await?;
        self.arrived(limit, &terms, cluster_ns);
        entered(&written)
    }

    fn capacity_move(&self, from: u128, to: u128, amount: u64) -> Transfer {
        let id = self.chart.ids.fresh(self.unix_ms());
        self.chart.posted(id, Code::Capacity, from, to, amount.into())
    }
}

/// Whether a template is about to make something of a key that was something else before.
fn is_taken_over(found: &Found, wanted: &Wanted) -> bool {
    let is_other = match found {
        Found::Nothing { seq, .. } => *seq != 0,
        Found::Limit(standing) => standing.origin != wanted.origin,
        Found::Garbled => false,
    };
    is_other && wanted.origin != Origin::Own
}

/// What became of the chain of an entry.
pub(super) fn entered(written: &Written) -> Result<Entered, Trouble> {
    use CreateTransferErrorKind as Kind;
    match written.cause.map(|(_, kind)| kind) {
        None => Ok(Entered::Written),
        Some(Kind::ExceedsCredits) => Ok(Entered::NotFree),
        Some(Kind::IdAlreadyFailed | Kind::DebitAccountNotFound | Kind::CreditAccountNotFound) => Ok(Entered::Burned),
        Some(kind) if is_there(kind) => Ok(Entered::TooLate),
        Some(kind) => Err(Trouble::Fault(format!("the ledger refused a change of a limit: {kind:?}"))),
    }
}

/// Whether the id is taken, by the same transfer or another one.
pub(super) fn is_there(kind: CreateTransferErrorKind) -> bool {
    use CreateTransferErrorKind as Kind;
    matches!(
        kind,
        Kind::Exists
            | Kind::ExistsWithDifferentFlags
            | Kind::ExistsWithDifferentPendingId
            | Kind::ExistsWithDifferentTimeout
            | Kind::ExistsWithDifferentDebitAccountId
            | Kind::ExistsWithDifferentCreditAccountId
            | Kind::ExistsWithDifferentAmount
            | Kind::ExistsWithDifferentUserData128
            | Kind::ExistsWithDifferentUserData64
            | Kind::ExistsWithDifferentUserData32
            | Kind::ExistsWithDifferentLedger
            | Kind::ExistsWithDifferentCode
    )
}
