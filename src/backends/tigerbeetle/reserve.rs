//! Reserving: one linked chain in one packet, which the cluster takes as a whole or not at all. What seldom has to be
//! asked is boxed, so that what every request moves about is small.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smallvec::SmallVec;
use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;

use super::books::{Attempts, Books, Trouble};
use super::counting::Counts;
use super::ids::Holds;
use super::lease::{Held, LeaseRecord};
use super::limits::Unresolved;
use super::line::Line;
use super::opening::is_there;
use super::packet::{Member, Packet, member_at};
use crate::policy::{Amounts, DeniedKey, Grant, Moment, Overage, Reason, Refusal, Reserve};

/// How often a reservation is tried again that fits by what the ledger says: what expires is free some 100 ms later,
/// and somebody else may have been faster.
const RETRIES_MAX: usize = 3;

/// The most failed attempts that are gone through at once in search of the next one.
const ATTEMPTS_AT_ONCE_MAX: usize = 64;

/// What one attempt came to.
enum Outcome {
    Granted(Holds, u64),
    /// The lease is there already.
    Known,
    /// The hold at this place failed before, for good.
    Burned(usize),
    /// This member does not fit.
    Short(Member),
}

pub(super) fn refuse(reason: Reason) -> Box<Refusal> {
    Box::new(Refusal::permanent(reason))
}

impl Books {
    /// Grants all that is asked for, or charges nothing; marks where that is unknown.
    pub(super) async fn reserve(&self, request: &Reserve, is_unknown: &AtomicBool) -> Result<Grant, Box<Refusal>> {
        assert!(!request.amounts.is_empty(), "a reservation names at least one key");
        Counts::add(&self.counts.decided);
        if self.leases.has(request.lease_id) {
            return Box::pin(self.again(request)).await;
        }
        let now = self.clock.now();
        let mut lines = match self.lines(&request.amounts, true, now).await {
            Ok(lines) => lines,
            Err(refusal) => return Box::pin(self.own_answer(request, refusal)).await,
        };
        if lines.iter().any(Line::is_obstructed)
            && let Some(refusal) = Box::pin(self.obstacles(&mut lines)).await?
        {
            return Box::pin(self.own_answer(request, Box::new(refusal))).await;
        }
        // Nobody waits for what is granted later.
        let give_up_at = now.after(self.session.deadline());
        let granted = self.attempts(request, &mut lines, give_up_at, is_unknown).await?;
        for line in &lines {
            line.limit.admitted();
            if line.terms().overage() == Overage::Repay || line.terms().owes {
                self.look_for_debt_later(&line.limit);
            }
        }
        self.count_shadows(&lines);
        Ok(granted)
    }

    /// What the limits of a request are; with `open` they are made in the ledger if need be.
    pub(super) async fn lines(&self, amounts: &Amounts, open: bool, now: Moment) -> Result<Vec<Line>, Box<Refusal>> {
        let mut lines = Vec::with_capacity(amounts.len());
        let mut is_full = false;
        for (at, (amount, limit)) in amounts.iter().zip(self.limits.resolve_all(amounts, now)).enumerate() {
            match limit {
                Ok(limit) => lines.push(Line { limit, terms: None, amount: amount.amount, at, is_charged: true }),
                Err(Unresolved::TooManyInstances) => is_full = true,
                Err(Unresolved::Unknown) => return Err(refuse(Reason::UnknownLimitKey(amount.key.clone()))),
            }
        }
        if is_full {
            return Err(Box::new(self.settings.overloaded()));
        }
        for line in &mut lines {
            line.terms = match line.limit.terms(&self.chart, now) {
                None if open => {
                    let opened = Box::pin(self.open(&line.limit)).await;
                    Some(opened.map_err(|trouble| trouble.refusal(&self.settings))?)
                }
                terms => terms,
            };
        }
        // One order for all who name the same keys, so that their transfers have the same ids.
        lines.sort_unstable_by(|one, other| one.limit.key.as_str().cmp(other.limit.key.as_str()));
        Ok(lines)
    }

    /// Goes through attempts until one is granted, or refused for a reason that stands.
    async fn attempts(
        &self,
        request: &Reserve,
        lines: &mut [Line],
        give_up_at: Moment,
        is_unknown: &AtomicBool,
    ) -> Result<Grant, Box<Refusal>> {
        let mut failed = self.attempts_of(request.lease_id);
        failed.resize(lines.len(), 0);
        let (mut burned, mut retries) = (0, 0);
        let answer = loop {
            let now = self.clock.now();
            if give_up_at < now {
                break Err(Trouble::Lost("the deadline passed".to_owned()).refusal(&self.settings));
            }
            let attempted = match self.attempt(request, lines, &failed, now).await {
                Ok(attempted) => attempted,
                Err(trouble) => {
                    is_unknown.store(matches!(trouble, Trouble::Lost(_)), Ordering::Relaxed);
                    break Err(trouble.refusal(&self.settings));
                }
            };
            let short = match attempted {
                Outcome::Granted(ids, cluster_ns) => {
                    let holds = self.holds(ids, lines, &failed, cluster_ns);
                    break self.granted(request, holds, cluster_ns);
                }
                Outcome::Known => break Box::pin(self.again(request)).await,
                Outcome::Burned(at) => {
                    failed[at] = failed[at].saturating_add(1);
                    burned += 1;
                    if ATTEMPTS_AT_ONCE_MAX < burned || failed[at] == u16::MAX {
                        break Err(Box::new(self.settings.overloaded()));
                    }
                    continue;
                }
                Outcome::Short(Member::Hold(at)) => {
                    failed[at] = failed[at].saturating_add(1);
                    at
                }
                Outcome::Short(Member::Guard(at)) => at,
            };
            if !lines[short].terms().enforces() {
                lines[short].is_charged = false;
                continue;
            }
            match Box::pin(self.why_not(lines)).await {
                Err(trouble) => break Err(trouble),
                Ok(Some(refusal)) => break Err(Box::new(refusal)),
                Ok(None) if retries < RETRIES_MAX => retries += 1,
                Ok(None) => break Err(Box::new(self.lost_the_race(&lines[short]))),
            }
        };
        if answer.is_err() && failed.iter().any(|failed| *failed != 0) {
            self.remember_attempts(request.lease_id, failed);
        }
        answer
    }

    /// The answer to a request whose holds are there already.
    async fn again(&self, request: &Reserve) -> Result<Grant, Box<Refusal>> {
        let known = self.known(request).await.map_err(|trouble| trouble.refusal(&self.settings))?;
        let unreadable = || refuse(Reason::BackendError("the ledger has this lease, and does not show it".to_owned()));
        known.unwrap_or_else(|| Err(unreadable()))
    }

    async fn attempt(
        &self,
        request: &Reserve,
        lines: &[Line],
        failed: &Attempts,
        now: Moment,
    ) -> Result<Outcome, Trouble> {
        let Packet { prelude, chain, ids, cluster_ns } = self.packet(request.lease_id, lines, failed, now);
        let written = self.write_chain(prelude, chain).await?;
        lines.iter().for_each(|line| self.arrived(&line.limit, line.terms(), cluster_ns));
        let Some((at, kind)) = written.cause else {
            return Ok(Outcome::Granted(ids, written.cluster_ns));
        };
        match (kind, member_at(lines, at)) {
            (CreateTransferErrorKind::ExceedsCredits, member) => Ok(Outcome::Short(member)),
            (CreateTransferErrorKind::IdAlreadyFailed, Member::Hold(at)) => Ok(Outcome::Burned(at)),
            (kind, _) if is_there(kind) => Ok(Outcome::Known),
            (kind, _) => {
                // The accounts are not there: another ledger than the one that this server knew.
                lines.iter().for_each(|line| line.limit.close());
                Err(Trouble::Fault(format!("the ledger refused a reservation: {kind:?}")))
            }
        }
    }

    fn granted(&self, request: &Reserve, holds: SmallVec<[Held; 4]>, cluster_ns: u64) -> Result<Grant, Box<Refusal>> {
        let lease = LeaseRecord {
            id: request.lease_id,
            maker: Some(self.chart.maker),
            granted_at_ns: cluster_ns,
            labels: request.labels.clone(),
            holds,
            is_finished: false,
        };
        Counts::add(&self.counts.granted);
        if !self.leases.put_taken(lease) {
            return Err(refuse(Reason::LeaseFinished)); // Somebody found it in the ledger and has left it already.
        }
        Ok(Grant { lease_id: request.lease_id, reserved_at_unix_ms: cluster_ns / 1_000_000 })
    }

    /// What stops a request before it is sent. Shadow limits that object are not charged.
    async fn obstacles(&self, lines: &mut [Line]) -> Result<Option<Refusal>, Box<Refusal>> {
        for line in lines.iter_mut().filter(|line| line.terms().standing.is_decreasing()) {
            let settled = self.settle_decrease(&line.limit).await;
            line.terms = Some(settled.map_err(|trouble| trouble.refusal(&self.settings))?);
        }
        for line in lines.iter_mut().filter(|line| !line.terms().enforces()) {
            line.is_charged = !line.is_obstructed();
        }
        if lines.iter().any(|line| line.terms().enforces() && line.is_obstructed()) {
            return self.why_not(lines).await;
        }
        Ok(None)
    }

    async fn why_not(&self, lines: &[Line]) -> Result<Option<Refusal>, Box<Refusal>> {
        self.explain(lines).await.map_err(|trouble| trouble.refusal(&self.settings))
    }

    /// The books have room by every look, and the ledger says no: others take what frees.
    fn lost_the_race(&self, line: &Line) -> Refusal {
        let terms = line.terms();
        let retry_after = line.limit.backoff(terms.standing.kind);
        let (key, capacity) = (line.limit.key.clone(), terms.standing.capacity.get());
        let wait_at_least = Duration::ZERO;
        let denied = DeniedKey { key, capacity, available: 0, retry_after, wait_at_least };
        Refusal::of_keys(Reason::Denied, vec![denied])
    }

    fn count_shadows(&self, lines: &[Line]) {
        for line in lines.iter().filter(|line| !line.is_charged) {
            line.limit.lock().counters.would_deny += 1;
            self.limits.count(&line.limit.key, |family| family.counters.would_deny += 1);
        }
    }

    /// The lease's own answer if there is such a lease, which comes before any other; else `refusal`.
    async fn own_answer(&self, request: &Reserve, refusal: Box<Refusal>) -> Result<Grant, Box<Refusal>> {
        if let Reason::BackendError(_) | Reason::Overloaded = refusal.reason {
            return Err(refusal);
        }
        let known = self.known(request).await.map_err(|trouble| trouble.refusal(&self.settings))?;
        known.unwrap_or(Err(refusal))
    }
}
