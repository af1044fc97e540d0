//! Bringing a limit in the ledger up to date with its definition: its accounts, its capacity, its log. Every step can
//! be done again, by any server, and takes effect once.

use tigerbeetle_unofficial::Transfer;
use tigerbeetle_unofficial::core::error::{CreateAccountErrorKind, CreateTransferErrorKind};

use super::books::{Books, Trouble, Written};
use super::chart::{Code, LimitAccounts, link};
use super::definition_log::{self, Found, Standing, Step, Wanted, next_step};
use super::limit::{Limit, Terms};
use crate::policy::Kind;

/// How often another server may be faster before this one gives up for now.
const TRIES: usize = 16;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entered {
    Written,
    /// Another server wrote an entry with this number first, or this one did, and got no answer.
    TooLate,
    /// So much is not free now.
    NotFree,
}

impl Books {
    /// The terms of a limit, after it was made or changed in the ledger if need be.
    pub(super) async fn open(&self, limit: &Limit) -> Result<Terms, Trouble> {
        match limit.terms(&self.chart, self.clock.now()) {
            Some(terms) => Ok(terms),
            None => Ok(self.bring_up_to_date(limit).await?.0),
        }
    }

    /// Puts the definition of a limit in force; says beside its terms which newer version the ledger has, if any.
    pub(super) async fn bring_up_to_date(&self, limit: &Limit) -> Result<(Terms, Option<u64>), Trouble> {
        let _turn = limit.opening.lock().await;
        for _ in 0..TRIES {
            let found = self.read_log(limit.hash).await?;
            let registered = limit.registered();
            let (definition, version) = (&registered.definition, registered.version);
            let wanted = Wanted { kind: definition.kind, capacity: definition.capacity, version };
            match (next_step(&found, &wanted), found) {
                (Step::Keep, Found::Limit(standing)) => return Ok((self.opened(limit, standing), None)),
                (Step::Superseded { version }, Found::Limit(standing)) => {
                    tracing::warn!(
                        key = %limit.key, own_version = registered.version, ledger_version = version,
                        "the ledger has a newer definition of this limit, which is followed"
                    );
                    return Ok((self.opened(limit, standing), Some(version)));
                }
                (Step::Begin { seq }, _) => self.begin(limit.hash, seq, &wanted).await?,
                (Step::Change { seq, raise }, Found::Limit(standing)) => {
                    let chain = self.raise(limit.hash, &standing, seq, &wanted, raise);
                    self.enter(chain).await?;
                }
                (Step::Lower { seq, by }, Found::Limit(standing)) => {
                    if self.lower(limit, &standing, seq, &wanted, by).await? == Entered::NotFree {
                        self.enter(self.chart.entry(limit.hash, seq, Code::Lowering, &wanted).to_vec()).await?;
                    }
                }
                (step, _) => unreachable!("{step:?} is of a limit that was found"),
            }
        }
        Err(Trouble::Fault(format!("the definition of `{}` changes faster than it can be put in force", limit.key)))
    }

    /// What the ledger knows of a limit that this server need not have; changes nothing.
    pub(super) async fn standing(&self, hash: u128) -> Result<Option<Standing>, Trouble> {
        match self.read_log(hash).await? {
            Found::Limit(standing) => Ok(Some(standing)),
            Found::Nothing { .. } | Found::Incomplete => Ok(None),
        }
    }

    /// Tries to apply a pending decrease; says the terms that hold then.
    pub(super) async fn settle_decrease(&self, limit: &Limit) -> Result<Terms, Trouble> {
        let terms = self.open(limit).await?;
        if !terms.standing.is_decreasing() {
            return Ok(terms);
        }
        let standing = &terms.standing;
        let by = standing.capacity.get() - standing.wanted.get();
        match self.lower(limit, standing, standing.seq + 1, &standing.wanted(), by).await? {
            Entered::NotFree => Ok(terms),
            Entered::Written | Entered::TooLate => {
                limit.close();
                let settled = self.open(limit).await?;
                self.tell_freed(limit);
                Ok(settled)
            }
        }
    }

    /// Takes a limit out: what it holds ends as it would have, and a limit defined anew knows nothing of it.
    pub(super) async fn retire(&self, hash: u128, version: u64) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            let Found::Limit(standing) = self.read_log(hash).await? else { return Ok(()) };
            let entry = self.chart.retirement(hash, standing.seq + 1, version.max(standing.version));
            if self.enter(vec![entry]).await? == Entered::Written {
                return Ok(());
            }
        }
        Err(Trouble::Fault("the limit changes faster than it can be deleted".to_owned()))
    }

    fn opened(&self, limit: &Limit, standing: Standing) -> Terms {
        let mut state = limit.lock();
        if state.standing.map(|before| before.rule_seq) != Some(standing.rule_seq) {
            state.ticked = 0;
        }
        // Until somebody looked, it may owe something.
        state.owes = true;
        state.standing = Some(standing);
        drop(state);
        limit.terms(&self.chart, self.clock.now()).expect("it was opened just now")
    }

    async fn read_log(&self, hash: u128) -> Result<Found, Trouble> {
        let mut transfers = self.marked(hash).await?;
        transfers.reverse();
        match definition_log::read(&transfers) {
            Found::Incomplete => {
                Err(Trouble::Fault("the ledger's log of this limit was not written by tollgate".to_owned()))
            }
            found => Ok(found),
        }
    }

    async fn begin(&self, hash: u128, seq: u32, wanted: &Wanted) -> Result<(), Trouble> {
        let answer = self.session.create_accounts(self.chart.limit_accounts(hash, seq)).await?;
        if let Some((_, kind)) = answer.value.iter().find(|(_, kind)| !matches!(kind, CreateAccountErrorKind::Exists)) {
            return Err(Trouble::Fault(format!("the ledger refused to make an account: {kind:?}")));
        }
        let accounts = self.chart.accounts_of(hash, seq);
        let mut chain = self.chart.entry(hash, seq, Code::Begin, wanted).to_vec();
        chain.push(self.capacity_move(self.chart.operator, accounts.limit, wanted.capacity.get()));
        self.enter(chain).await.map(drop)
    }

    fn raise(&self, hash: u128, standing: &Standing, seq: u32, wanted: &Wanted, by: u64) -> Vec<Transfer> {
        let mut chain = self.chart.entry(hash, seq, Code::Change, wanted).to_vec();
        if by != 0 {
            let accounts = self.chart.accounts_of(hash, standing.generation);
            chain.push(self.capacity_move(self.chart.operator, accounts.limit, by));
            if let Kind::TokenBucket { .. } = wanted.kind {
                // It has to flow in.
                let id = self.chart.ids.fresh(self.unix_ms());
                let LimitAccounts { limit, spent, .. } = accounts;
                chain.push(self.chart.posted(id, Code::Capacity, limit, spent, by.into()));
            }
        }
        chain
    }

    /// Takes capacity back if so much is free, in one step with the entry that says so.
    async fn lower(
        &self,
        limit: &Limit,
        standing: &Standing,
        seq: u32,
        wanted: &Wanted,
        by: u64,
    ) -> Result<Entered, Trouble> {
        let accounts = self.chart.accounts_of(limit.hash, standing.generation);
        let mut transfers = Vec::new();
        if let Some(terms) = limit.terms(&self.chart, self.clock.now()) {
            self.prelude(limit, &terms, &mut transfers);
        } else if let Kind::TokenBucket { .. } = standing.kind {
            // It was not open here: what flowed back since is sent by whoever opens it.
            limit.lock().ticked = 0;
        }
        let before = transfers.len();
        transfers.extend(self.chart.entry(limit.hash, seq, Code::Change, wanted));
        transfers.push(self.capacity_move(accounts.limit, self.chart.operator, by));
        link(&mut transfers[before..]);
        let written = self.write(transfers).await.inspect_err(|_| self.resend_refills(limit))?;
        entered(&written, before)
    }

    async fn enter(&self, mut chain: Vec<Transfer>) -> Result<Entered, Trouble> {
        link(&mut chain);
        entered(&self.write(chain).await?, 0)
    }

    fn capacity_move(&self, from: u128, to: u128, amount: u64) -> Transfer {
        let id = self.chart.ids.fresh(self.unix_ms());
        self.chart.posted(id, Code::Capacity, from, to, amount.into())
    }
}

/// What the failures of a packet say of the entry whose chain begins at `chain_at`.
fn entered(written: &Written, chain_at: usize) -> Result<Entered, Trouble> {
    use CreateTransferErrorKind as Kind;
    match written.cause(chain_at).map(|(_, kind)| kind) {
        None => Ok(Entered::Written),
        Some(Kind::ExceedsCredits) => Ok(Entered::NotFree),
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
