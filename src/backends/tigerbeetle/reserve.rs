//! Reserving: one linked chain in one packet, which the cluster takes as a whole or not at all.

use std::time::Duration;

use smallvec::SmallVec;
use tigerbeetle_unofficial::Transfer;
use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;

use super::books::{Books, Counts, PACKET_MAX, Trouble};
use super::chart::{Code, link};
use super::lease::{HoldTerms, LeaseRecord, held};
use super::limit::Terms;
use super::limits::Unresolved;
use super::opening::is_there;
use super::refusing::Line;
use super::ticks;
use crate::policy::{Amounts, DeniedKey, Grant, Kind, LeaseId, Reason, Refusal, Reserve};

/// How often a reservation is tried again that fits by what the ledger says: what expires is free some 100 ms later, and
/// somebody else may have been faster.
const RETRIES_MAX: usize = 3;

/// The most failed attempts that are gone through at once in search of the next one.
const ATTEMPTS_AT_ONCE_MAX: u32 = 64;

/// One limit that is to be charged.
struct Charge {
    line: Line,
    terms: Terms,
    /// False where only a shadow limit objects: the hold is booked beside it.
    is_charged: bool,
}

/// What one attempt came to.
enum Outcome {
    Granted(Vec<Transfer>, u64),
    /// The lease is there already; perhaps through an earlier try of this attempt.
    Known {
        may_be_own: bool,
    },
    /// The attempt failed before, for good.
    Burned,
    /// This one of the charges does not fit.
    Short(usize),
}

/// A packet with its chain: which transfer of it is for which charge.
struct Packet {
    transfers: Vec<Transfer>,
    owners: SmallVec<[(usize, usize); 8]>,
}

fn refuse(reason: Reason) -> Box<Refusal> {
    Box::new(Refusal::permanent(reason))
}

impl Books {
    /// Grants all that is asked for, or charges nothing.
    pub(super) async fn reserve(&self, request: &Reserve) -> Result<Grant, Box<Refusal>> {
        assert!(!request.amounts.is_empty(), "a reservation names at least one key");
        Counts::add(&self.counts.decided);
        if self.leases.has(request.lease_id) {
            return self.again(request, false).await;
        }
        let lines = match self.lines(&request.amounts, true).await {
            Ok(lines) => lines,
            Err(refusal) => return self.own_answer(request, refusal).await,
        };
        let mut charges: SmallVec<[Charge; 4]> = SmallVec::new();
        for line in lines {
            let terms = line.terms.expect("a line to be charged is open");
            charges.push(Charge { is_charged: true, line, terms });
        }
        if charges.iter().any(obstructed)
            && let Some(refusal) = self.obstacles(&mut charges).await?
        {
            return self.own_answer(request, Box::new(refusal)).await;
        }
        let granted = self.attempts(request, &mut charges).await?;
        charges.iter().for_each(|charge| charge.line.limit.admitted());
        self.count_shadows(&charges);
        Ok(granted)
    }

    /// What the limits of a request are; with `open` they are made in the ledger if need be.
    pub(super) async fn lines(&self, amounts: &Amounts, open: bool) -> Result<Vec<Line>, Box<Refusal>> {
        let now = self.clock.now();
        let mut lines = Vec::with_capacity(amounts.len());
        let mut is_full = false;
        for (at, amount) in amounts.iter().enumerate() {
            match self.limits.resolve(&amount.key, now) {
                Ok(limit) => lines.push(Line { limit, terms: None, amount: amount.amount, at }),
                Err(Unresolved::TooManyInstances) => is_full = true,
                Err(Unresolved::Unknown) => return Err(refuse(Reason::UnknownLimitKey(amount.key.clone()))),
            }
        }
        if is_full {
            return Err(Box::new(self.settings.overloaded()));
        }
        for line in &mut lines {
            line.terms = match line.limit.terms(&self.chart, now) {
                None if open => Some(self.open(&line.limit).await.map_err(|trouble| trouble.refusal(&self.settings))?),
                terms => terms,
            };
        }
        // One order for all who name the same keys, so that their transfers have the same ids.
        lines.sort_unstable_by(|one, other| one.limit.key.as_str().cmp(other.limit.key.as_str()));
        Ok(lines)
    }

    /// Goes through attempts until one is granted, or refused for a reason that stands.
    async fn attempts(&self, request: &Reserve, charges: &mut [Charge]) -> Result<Grant, Box<Refusal>> {
        let first = self.attempt_of(request.lease_id);
        let (mut attempt, mut retries) = (first, 0);
        let answer = loop {
            let outcome = self.known_attempt(request, charges, attempt).await;
            let short = match outcome.map_err(|trouble| trouble.refusal(&self.settings))? {
                Outcome::Granted(holds, cluster_ns) => return Ok(self.granted(request, &holds, cluster_ns)),
                Outcome::Known { may_be_own } => break self.again(request, may_be_own).await,
                Outcome::Burned if attempt - first < ATTEMPTS_AT_ONCE_MAX => {
                    attempt += 1;
                    continue;
                }
                Outcome::Burned => {
                    attempt += 1;
                    break Err(Box::new(self.settings.overloaded()));
                }
                Outcome::Short(at) => at,
            };
            attempt += 1;
            let charge = &mut charges[short];
            if !charge.terms.enforces() {
                charge.is_charged = false;
                continue;
            }
            let refusal = self.explain_charges(charges).await?;
            match refusal {
                Some(refusal) => break Err(Box::new(refusal)),
                None if retries < RETRIES_MAX => retries += 1,
                None => break Err(Box::new(self.lost_the_race(&charges[short]))),
            }
        };
        if attempt != 0 && answer.is_err() {
            self.remember_attempt(request.lease_id, attempt);
        }
        answer
    }

    /// The answer to a request whose holds are there already.
    async fn again(&self, request: &Reserve, may_be_own: bool) -> Result<Grant, Box<Refusal>> {
        let known = self.known(request, may_be_own).await.map_err(|trouble| trouble.refusal(&self.settings))?;
        let unreadable = || refuse(Reason::BackendError("the ledger has this lease, and does not show it".to_owned()));
        known.unwrap_or_else(|| Err(unreadable()))
    }

    /// One attempt, sent again until it is known what became of it, so that a grant can be given back whose caller has
    /// been told otherwise by then.
    async fn known_attempt(&self, request: &Reserve, charges: &[Charge], attempt: u32) -> Result<Outcome, Trouble> {
        let mut persevering = None;
        loop {
            let outcome = self.attempt(request, charges, attempt).await;
            let is_unknown = match &outcome {
                Err(Trouble::Lost(_)) => true,
                Err(Trouble::Away(_) | Trouble::Overloaded) => persevering.is_some(), // That of the try before is.
                Ok(_) | Err(Trouble::Fault(_)) => false,
            };
            if let Ok(Outcome::Known { .. }) = outcome {
                return Ok(Outcome::Known { may_be_own: persevering.is_some() });
            }
            if !is_unknown || !persevering.get_or_insert_with(|| self.patience.begin()).try_again().await {
                return outcome;
            }
        }
    }

    async fn attempt(&self, request: &Reserve, charges: &[Charge], attempt: u32) -> Result<Outcome, Trouble> {
        let Packet { mut transfers, mut owners } = self.packet(request.lease_id, charges, attempt);
        let holds: Vec<_> = owners.iter().map(|(at, _)| transfers[*at]).collect();
        let resend = |_: &Trouble| charges.iter().for_each(|charge| self.resend_refills(&charge.line.limit));
        if PACKET_MAX < transfers.len() {
            let (first, _) = owners[0];
            self.write_each(&transfers[..first]).await.inspect_err(resend)?;
            transfers.drain(..first);
            owners.iter_mut().for_each(|(at, _)| *at -= first);
        }
        let written = self.write(transfers).await.inspect_err(resend)?;
        let (chain_at, _) = owners[0];
        let Some((at, kind)) = written.cause(chain_at) else {
            return Ok(Outcome::Granted(holds, written.cluster_ns));
        };
        match kind {
            CreateTransferErrorKind::ExceedsCredits => {
                let owner = owners.iter().rev().find(|(first, _)| *first <= at).expect("the chain begins with a hold");
                Ok(Outcome::Short(owner.1))
            }
            CreateTransferErrorKind::IdAlreadyFailed => Ok(Outcome::Burned),
            kind if is_there(kind) => Ok(Outcome::Known { may_be_own: false }),
            kind => {
                // The accounts are not there: another ledger than the one that this server knew.
                charges.iter().for_each(|charge| charge.line.limit.close());
                Err(Trouble::Fault(format!("the ledger refused a reservation: {kind:?}")))
            }
        }
    }

    /// Before the chain what flowed back and what is owed; in it a hold for each charge, and where a provider has less
    /// left than the books, a look whether that much remains.
    fn packet(&self, lease_id: LeaseId, charges: &[Charge], attempt: u32) -> Packet {
        let mut transfers = Vec::with_capacity(charges.len());
        for Charge { line, terms, .. } in charges {
            self.prelude(&line.limit, terms, &mut transfers);
        }
        let chain_at = transfers.len();
        let first_id = self.chart.ids.holds(lease_id, attempt);
        let mut owners = SmallVec::new();
        for (position, charge) in (0_u32..).zip(charges) {
            owners.push((transfers.len(), position as usize));
            let terms = self.hold_terms(charge);
            transfers.push(self.chart.hold(lease_id, first_id + u128::from(position), position, &terms));
            if charge.terms.withheld != 0 && charge.terms.enforces() {
                transfers.extend(self.guard(&charge.terms));
            }
        }
        link(&mut transfers[chain_at..]);
        Packet { transfers, owners }
    }

    fn hold_terms(&self, charge: &Charge) -> HoldTerms {
        let Charge { line, terms, is_charged } = charge;
        let (code, seconds) = match terms.standing.kind {
            Kind::Rolling { window } => (Code::RollingHold, window.get()),
            Kind::Concurrency { timeout } => (Code::ConcurrencyHold, timeout.get()),
            Kind::TokenBucket { refill_amount, refill_period } => {
                let lease = ticks::lease_seconds(terms.standing.wanted.get(), refill_amount.get(), refill_period);
                (Code::BucketSpend, lease.into())
            }
        };
        let seconds = u32::try_from(seconds).expect("a period of at most a hundred years");
        let (code, account) =
            if *is_charged { (code, terms.accounts.limit) } else { (Code::UnchargedHold, self.chart.operator) };
        HoldTerms {
            code,
            account,
            spent: terms.accounts.spent,
            tag: line.limit.hash as u64,
            amount: line.amount,
            seconds,
        }
    }

    fn guard(&self, terms: &Terms) -> [Transfer; 2] {
        let (limit, operator, amount) = (terms.accounts.limit, self.chart.operator, u128::from(terms.withheld));
        let moved = |from, to| self.chart.posted(self.chart.ids.fresh(self.unix_ms()), Code::Guard, from, to, amount);
        [moved(limit, operator), moved(operator, limit)]
    }

    fn granted(&self, request: &Reserve, holds: &[Transfer], cluster_ns: u64) -> Grant {
        let dated = |hold: &Transfer| {
            let mut hold = *hold;
            hold.as_raw_mut().timestamp = cluster_ns;
            held(&hold).expect("a chain of holds")
        };
        let lease = LeaseRecord {
            id: request.lease_id,
            granted_at_ns: cluster_ns,
            labels: request.labels.clone(),
            holds: holds.iter().map(dated).collect(),
            is_finished: false,
            is_shared: false,
        };
        self.leases.put(lease);
        Counts::add(&self.counts.granted);
        Grant { lease_id: request.lease_id, reserved_at_unix_ms: cluster_ns / 1_000_000 }
    }

    /// What stops a request before it is sent. Shadow limits that object are not charged.
    async fn obstacles(&self, charges: &mut [Charge]) -> Result<Option<Refusal>, Box<Refusal>> {
        for charge in charges.iter_mut().filter(|charge| charge.terms.standing.is_decreasing()) {
            let settled = self.settle_decrease(&charge.line.limit).await;
            charge.terms = settled.map_err(|trouble| trouble.refusal(&self.settings))?;
            charge.line.terms = Some(charge.terms);
        }
        for charge in charges.iter_mut().filter(|charge| !charge.terms.enforces()) {
            charge.is_charged = !obstructed(charge);
        }
        if charges.iter().any(|charge| charge.terms.enforces() && obstructed(charge)) {
            return self.explain_charges(charges).await;
        }
        Ok(None)
    }

    async fn explain_charges(&self, charges: &[Charge]) -> Result<Option<Refusal>, Box<Refusal>> {
        let lines: Vec<_> = charges.iter().map(|charge| charge.line.clone()).collect();
        self.explain(&lines).await.map_err(|trouble| trouble.refusal(&self.settings))
    }

    /// The books have room by every look, and the ledger says no: others take what frees.
    fn lost_the_race(&self, charge: &Charge) -> Refusal {
        let Charge { line, terms, .. } = charge;
        let retry_after = line.limit.backoff(terms.standing.kind);
        let (key, capacity) = (line.limit.key.clone(), terms.standing.capacity.get());
        let wait_at_least = Duration::ZERO;
        let denied = DeniedKey { key, capacity, available: 0, retry_after, wait_at_least };
        Refusal::of_keys(Reason::Denied, vec![denied])
    }

    fn count_shadows(&self, charges: &[Charge]) {
        for Charge { line, .. } in charges.iter().filter(|charge| !charge.is_charged) {
            line.limit.lock().counters.would_deny += 1;
            self.limits.count(&line.limit.key, |family| family.counters.would_deny += 1);
        }
    }

    /// The lease's own answer if there is such a lease, which comes before any other; else `refusal`.
    async fn own_answer(&self, request: &Reserve, refusal: Box<Refusal>) -> Result<Grant, Box<Refusal>> {
        if let Reason::BackendError(_) | Reason::Overloaded = refusal.reason {
            return Err(refusal);
        }
        let known = self.known(request, false).await.map_err(|trouble| trouble.refusal(&self.settings))?;
        known.unwrap_or(Err(refusal))
    }
}

/// Whether its limit says no without a look at the ledger.
fn obstructed(charge: &Charge) -> bool {
    let Charge { line, terms, .. } = charge;
    terms.standing.is_decreasing()
        || terms.paused_until.is_some()
        || u128::from(terms.standing.wanted.get()) < line.amount
}
