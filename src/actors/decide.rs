//! The decisions that are made in the caller's own task: to reserve, to peek, to wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::breakers::Permit;
use super::finish::Granted;
use super::limiters::{Wait, Wanted};
use super::runtime::Runtime;
use crate::backends::{Health, Reply};
use crate::policy::{Amounts, DeniedKey, Grant, Key, LeaseId, Reason, Refusal, Reserve};

impl Runtime {
    /// Grants all that is asked for, or charges nothing.
    pub(crate) async fn reserve(&self, request: &Reserve) -> Result<Granted, Box<Refusal>> {
        self.decide(request).await.inspect_err(|refusal| self.backend.count_refusal(refusal))
    }

    /// Answers as [`Self::reserve`] would, and charges nothing.
    pub(crate) async fn peek(&self, amounts: &Amounts) -> Result<(), Box<Refusal>> {
        let occupied = self.limiters.lines.occupied(amounts, self.clock.now());
        if occupied.is_empty() || self.is_away() {
            return self.backend.peek(amounts).get().await;
        }
        Err(self.refuse_in_line(amounts, occupied).await)
    }

    /// Reserves now or as soon as there is room.
    pub(crate) async fn acquire(&self, request: Arc<Reserve>, wait: Wait) -> Result<Granted, Box<Refusal>> {
        self.decide_or_wait(request, wait).await.inspect_err(|refusal| self.backend.count_refusal(refusal))
    }

    async fn decide(&self, request: &Reserve) -> Result<Granted, Box<Refusal>> {
        if self.is_closing() {
            return Err(Box::new(self.settings.overloaded()));
        }
        let permit = match self.enter(request) {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse_at_breaker(request, refusal).await,
        };
        if request.amounts.is_empty() {
            return self.decide_without_limits(request, permit);
        }
        if self.limiters.lines.waiting() != 0 {
            let occupied = self.limiters.lines.occupied(&request.amounts, self.clock.now());
            if !occupied.is_empty()
                && let Some(refusal) = self.keep_order(request, occupied).await
            {
                return Err(refusal);
            }
        }
        match self.backend.reserve(request) {
            Reply::Now(answer) => Ok(Granted { grant: answer?, permit }),
            Reply::Later(answer) => self.await_grant(request.lease_id, permit, answer).await,
        }
    }

    /// While a ledger elsewhere decides, the same id may be sent again, granted and completed: a permit that comes
    /// after that would be kept for a call that is over.
    async fn await_grant(
        &self,
        id: LeaseId,
        permit: Option<Permit>,
        answer: impl Future<Output = Result<Grant, Box<Refusal>>>,
    ) -> Result<Granted, Box<Refusal>> {
        let Some(permit) = permit else { return Ok(Granted { grant: answer.await?, permit: None }) };
        let pending = Pending::begin(self, id);
        let grant = answer.await?;
        Ok(Granted { grant, permit: (!pending.is_over()).then_some(permit) })
    }

    /// A call that only goes through a breaker holds nothing in the books: its lease is over as soon as it is granted.
    fn decide_without_limits(&self, request: &Reserve, permit: Option<Permit>) -> Result<Granted, Box<Refusal>> {
        if permit.is_none() {
            let problem = "`requirements` has 0 entries; name at least one limit, or a circuit breaker";
            return Err(Box::new(Refusal::permanent(Reason::InvalidRequest(problem.to_owned()))));
        }
        let reserved_at_unix_ms = self.clock.unix_ms_at(self.clock.now());
        Ok(Granted { grant: Grant { lease_id: request.lease_id, reserved_at_unix_ms }, permit })
    }

    async fn decide_or_wait(&self, request: Arc<Reserve>, wait: Wait) -> Result<Granted, Box<Refusal>> {
        let refusal = match self.decide(&request).await {
            Err(refusal) if refusal.reason.is_worth_waiting() => refusal,
            answer => return answer,
        };
        let hopeless = refusal.denied.iter().any(|denied| wait.max_wait < denied.wait_at_least);
        let Some(key) = line_to_join(&refusal).filter(|_| !hopeless && !wait.max_wait.is_zero()) else {
            return Err(refusal);
        };
        let doubt = Doubt { runtime: self, wanted: Wanted::new(request), is_over: false };
        let answer = self.stand_in_line(&doubt.wanted, key, wait).await;
        doubt.settle(&answer);
        answer
    }

    async fn stand_in_line(&self, wanted: &Wanted, key: Key, wait: Wait) -> Result<Granted, Box<Refusal>> {
        let request = &*wanted.request;
        match self.limiters.wait(&self.clock, &self.settings, &key, wanted.clone(), wait).await {
            Some(Ok(unclaimed)) => {
                // Not before: a probe is not kept from others by one who stands in line.
                let permit = self.enter(request)?;
                Ok(Granted { grant: unclaimed.claim(), permit })
            }
            Some(Err(refusal)) => Err(refusal),
            // A last try: what frees at this very moment is in time, and a refusal says how things stand now.
            None => match self.decide(request).await {
                // It was served as it left, and its grant given back: to its caller it was never granted.
                Err(refusal) if refusal.reason == Reason::LeaseFinished => {
                    Err(self.refuse_in_line(&request.amounts, vec![(key, Duration::ZERO)]).await)
                }
                answer => answer,
            },
        }
    }

    /// Asks the request's circuit breaker, if it names one.
    fn enter(&self, request: &Reserve) -> Result<Option<Permit>, Box<Refusal>> {
        let Some(name) = &request.breaker else { return Ok(None) };
        let gate = self.breakers.find_or_make(name).map_err(|_| Box::new(self.settings.overloaded()))?;
        let entered = Permit::enter(&gate);
        entered.map(Some).map_err(|open| Box::new(Refusal::breaker_open(name.clone(), open.retry_after)))
    }

    /// The answer to a call whose breaker is open, unless another comes before that.
    async fn refuse_at_breaker(&self, request: &Reserve, open: Box<Refusal>) -> Result<Granted, Box<Refusal>> {
        let lease = self.backend.lease(request.lease_id).get();
        let (lease, peeked) = join(lease, self.backend.peek(&request.amounts).get()).await;
        if let Ok(Some(_)) = lease {
            let grant = self.backend.reserve(request).get().await?;
            return Ok(Granted { grant, permit: None });
        }
        match peeked {
            Err(refusal) if refusal.reason.precedes_breaker() => Err(refusal),
            _ => Err(open),
        }
    }

    /// The refusal of a call that names keys for which others wait; `None` if it is to be decided all the same.
    async fn keep_order(&self, request: &Reserve, occupied: Vec<(Key, Duration)>) -> Option<Box<Refusal>> {
        // A ledger that is away can keep no order in line: what goes on without it is for each limit's policy to say.
        if self.is_away() {
            return None;
        }
        let lease = self.backend.lease(request.lease_id).get();
        match join(lease, self.refuse_in_line(&request.amounts, occupied)).await {
            (Ok(Some(_)), _) => None, // A known lease has an answer of its own, before any other.
            _ if self.is_away() => None,
            (Ok(None), refusal) => Some(refusal),
            // The ledger was not asked: this says nothing of an earlier try under the same id.
            (Err(_), refusal) if refusal.reason == Reason::Overloaded => Some(refusal),
            (Err(error), _) => Some(Box::new(Refusal::permanent(Reason::BackendError(error.0)))),
        }
    }

    /// Whether a ledger elsewhere does not answer.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.backend.health(), Health::Down(_))
    }

    /// The refusal of a call that would overtake those who wait in line. All is asked at once: a ledger elsewhere may
    /// take as long over each answer as the caller has for the whole.
    async fn refuse_in_line(&self, amounts: &Amounts, occupied: Vec<(Key, Duration)>) -> Box<Refusal> {
        let usages = join_all(occupied.iter().map(|(key, _)| self.backend.usage(key).get()));
        let (peeked, usages) = join(self.backend.peek(amounts).get(), usages).await;
        let mut known: HashMap<Key, DeniedKey> = HashMap::new();
        let mut reason = Reason::Denied;
        match peeked {
            Ok(()) => {}
            Err(refusal) if matches!(refusal.reason, Reason::Denied | Reason::LimitPaused(_)) => {
                reason = refusal.reason;
                known.extend(refusal.denied.into_iter().map(|denied| (denied.key.clone(), denied)));
            }
            Err(refusal) => return refusal,
        }
        for ((key, wait), usage) in occupied.into_iter().zip(usages) {
            if let Some(denied) = known.get_mut(&key) {
                denied.retry_after = denied.retry_after.max(wait);
                continue;
            }
            let (capacity, available) = usage.ok().flatten().map_or((0, 0), |usage| (usage.capacity, usage.available));
            let retry_after = wait.max(Duration::from_millis(1));
            let denied =
                DeniedKey { key: key.clone(), capacity, available, retry_after, wait_at_least: Duration::ZERO };
            known.insert(key, denied);
        }
        let in_order = amounts.iter().filter_map(|amount| known.remove(&amount.key)).collect();
        Box::new(Refusal::of_keys(reason, in_order))
    }
}

/// A call in line that a ledger may have let in without saying so.
struct Doubt<'a> {
    runtime: &'a Runtime,
    wanted: Wanted,
    is_over: bool,
}

impl Doubt<'_> {
    /// Whoever is granted, or told that nobody knows, has the lease or asks for it again.
    fn settle(mut self, answer: &Result<Granted, Box<Refusal>>) {
        self.is_over = match answer {
            Ok(_) => true,
            Err(refusal) => matches!(refusal.reason, Reason::BackendError(_)),
        };
    }
}

/// Refused for another reason, or gone: what it may have been granted is given back.
impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.wanted.is_in_doubt() {
            self.runtime.disclaim(self.wanted.request.lease_id, &self.wanted.request.amounts);
        }
    }
}

/// A reservation with a permit that waits for its answer, also one that is dropped meanwhile.
struct Pending<'a>(&'a Runtime, LeaseId);

impl<'a> Pending<'a> {
    fn begin(runtime: &'a Runtime, id: LeaseId) -> Self {
        runtime.permits().begin(id);
        Self(runtime, id)
    }

    /// Whether its call is over already.
    fn is_over(&self) -> bool {
        self.0.permits().is_over(self.1)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.permits().end(self.1);
    }
}

/// The key that stops a refused call: the one that will take longest.
fn line_to_join(refusal: &Refusal) -> Option<Key> {
    match &refusal.reason {
        Reason::LimitDecreasing(key) => Some(key.clone()),
        _ => refusal.denied.iter().max_by_key(|denied| denied.retry_after).map(|denied| denied.key.clone()),
    }
}
