//! Rate limiter: serves the line of one limit, wakes it when capacity frees, and drives a pending decrease.
//! Owns: the limit's timer, and the right to serve its line. The line and the books outlive it.
//! Parent: limiters. Restarts: yes, with backoff; an instance of a template leaves when nobody waits.
//! Lost on restart: its timer, which it sets again at once.
//! Bound: one wake-up and one tick at a time, and a slot in the line for each acquire. Talks to: the backend and the
//! lines (shared state), the registry (cast: a decrease was applied), other rate limiters (wake-ups).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::grant::UnclaimedGrant;
use super::lines::Turn;
use super::waiting::Wait;
use crate::actors::mailbox::Mailbox;
use crate::actors::registry::RegistryMessage;
use crate::actors::runtime::Runtime;
use crate::actors::supervision::RETIRED;
use crate::actors::timer::Timer;
use crate::backends::Settled;
use crate::policy::{Grant, Key, KeyPattern, Moment, Reason, Refusal, Reserve, Ticket};

/// The most messages queued for one rate limiter.
const QUEUE_MAX: usize = 1_024;

/// How long until a registry that had no room for a report is told again.
const REPORT_RETRY: Duration = Duration::from_secs(1);

/// How long until a ledger that did not say how the limit stands is asked again.
const SETTLE_RETRY: Duration = Duration::from_secs(1);

/// How long until a ledger that did not answer, or is full, is asked again for the one in front.
const LEDGER_RETRY_MS: RangeInclusive<u64> = 100..=500;

/// How long the one in front is kept there by a ledger that is full. What it lacks room for may be another limit's.
const FULL_MAX: Duration = Duration::from_secs(2);

/// What the actor of one limit can be asked.
#[derive(Debug)]
pub enum RateLimiterMessage {
    /// Capacity may have freed, or somebody joined the line.
    Wake,
    /// The timer of this generation is due.
    Tick {
        /// A tick of an older timer is ignored.
        generation: u64,
    },
    /// Waits for a lease; the caller owes its completion. The request may name more limits than this one.
    Acquire {
        /// What is wanted.
        request: Reserve,
        /// How long, and how urgently.
        wait: Wait,
        /// Granted, or why not. A grant that cannot be delivered is given back.
        reply: RpcReplyPort<Result<Grant, Box<Refusal>>>,
    },
}

/// The way to one rate limiter. Survives its actor.
#[derive(Debug)]
pub(super) struct Limiter {
    pub(super) mailbox: Mailbox<RateLimiterMessage>,
    /// A wake-up is on its way: one is enough for any number of reasons.
    is_woken: AtomicBool,
}

impl Limiter {
    pub(super) fn new(name: String) -> Self {
        Self { mailbox: Mailbox::new(name, QUEUE_MAX), is_woken: AtomicBool::new(false) }
    }

    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) && self.mailbox.cast(RateLimiterMessage::Wake).is_err() {
            self.is_woken.store(false, Ordering::Release); // It looks for itself when it is back.
        }
    }

    pub(super) fn connect(&self, actor: ActorRef<RateLimiterMessage>, now: Moment) {
        self.mailbox.connect(actor, now);
        self.is_woken.store(false, Ordering::Release);
        self.wake();
    }
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct RateLimiter;

/// The actor's state.
pub(super) struct RateLimiterState {
    runtime: Arc<Runtime>,
    key: Key,
    limiter: Arc<Limiter>,
    timer: Timer,
    /// Since when the ledger has answered this one, in front, with nothing but that it is full.
    full: Option<(Ticket, Moment)>,
    /// The registry is to be told once the limit is active again. True at first: an earlier incarnation may have died
    /// before it did so.
    owes_report: bool,
}

impl Actor for RateLimiter {
    type Msg = RateLimiterMessage;
    type State = RateLimiterState;
    type Arguments = (Arc<Runtime>, Key, Arc<Limiter>);

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        (runtime, key, limiter): Self::Arguments,
    ) -> Result<RateLimiterState, ActorProcessingErr> {
        Ok(RateLimiterState { runtime, key, limiter, timer: Timer::default(), full: None, owes_report: true })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: RateLimiterMessage,
        state: &mut RateLimiterState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RateLimiterMessage::Wake => {
                state.limiter.mailbox.left();
                // Before looking: what happens from now on is worth another wake-up.
                state.limiter.is_woken.store(false, Ordering::Release);
                state.look(&myself).await;
            }
            RateLimiterMessage::Tick { generation } if state.timer.is_due(generation) => state.look(&myself).await,
            RateLimiterMessage::Tick { .. } => {} // From a timer that was replaced.
            RateLimiterMessage::Acquire { request, wait, reply } => state.acquire(request, wait, reply),
        }
        Ok(())
    }
}

impl RateLimiterState {
    /// Does all that can be done now, and sets the timer for what comes next by itself.
    async fn look(&mut self, myself: &ActorRef<RateLimiterMessage>) {
        let backend = Arc::clone(&self.runtime.backend);
        backend.watch(&self.key, true); // Before looking, so that nothing frees unseen.
        let decrease_due = self.settle().await;
        let head_due = self.serve_line().await;
        if head_due.is_none() && decrease_due.is_none() {
            backend.watch(&self.key, false);
        }
        match [decrease_due, head_due].into_iter().flatten().min() {
            Some(due) => self.arm(myself, due),
            None => {
                self.timer.disarm();
                if self.runtime.limiters.retire(&self.key) {
                    myself.stop(Some(RETIRED.to_owned()));
                }
            }
        }
    }

    /// Drives a pending decrease until the registry knows that it was applied; says when to try again.
    async fn settle(&mut self) -> Option<Moment> {
        match self.runtime.backend.settle(&self.key).get().await {
            Ok(Settled::Decreasing { next_change }) => {
                self.owes_report = true;
                next_change
            }
            Ok(Settled::Active) if self.owes_report => {
                let applied = RegistryMessage::DecreaseApplied(KeyPattern::exactly(&self.key));
                self.owes_report = self.runtime.registry.cast(applied).is_err();
                self.owes_report.then(|| self.runtime.clock.now().after(REPORT_RETRY))
            }
            Ok(Settled::Active | Settled::Unknown) => None,
            Err(error) => {
                tracing::debug!(key = %self.key, %error, "the ledger does not say how the limit stands");
                Some(self.runtime.clock.now().after(SETTLE_RETRY))
            }
        }
    }

    /// Serves the line until the one in front must wait; says until when at most.
    async fn serve_line(&mut self) -> Option<Moment> {
        loop {
            let full = self.full.take();
            let (candidate, wanted) = match self.runtime.limiters.lines.next_turn(&self.key) {
                Turn::Nobody => return None,
                Turn::WentTo(other) => {
                    self.wake_line(&other);
                    continue;
                }
                Turn::Try(candidate, wanted) => (candidate, wanted),
            };
            let backend = &self.runtime.backend;
            let answer = match wanted.ask(&**backend).await {
                Ok(grant) => Ok(UnclaimedGrant::new(grant, wanted.request, Arc::clone(backend))),
                Err(refusal) if refusal.reason.is_worth_waiting() => {
                    let (stopping, wait) = stopping_key(&refusal, &self.key);
                    if stopping == self.key {
                        return Some(self.look_again_in(wait));
                    }
                    self.runtime.limiters.lines.send_to(&candidate, &stopping);
                    self.wake_line(&stopping);
                    continue;
                }
                // A ledger that is away, or full for a moment, costs nobody a place in line.
                Err(refusal)
                    if matches!(refusal.reason, Reason::BackendError(_))
                        || refusal.reason == Reason::Overloaded
                            && self.is_full_for_a_moment(candidate.ticket, full) =>
                {
                    return Some(self.look_again_in(Duration::from_millis(fastrand::u64(LEDGER_RETRY_MS))));
                }
                Err(refusal) => Err(refusal),
            };
            self.runtime.limiters.lines.answer(&candidate, answer);
        }
    }

    /// The ledger is full for the one with this ticket; `full` says what it answered before.
    fn is_full_for_a_moment(&mut self, ticket: Ticket, full: Option<(Ticket, Moment)>) -> bool {
        let now = self.runtime.clock.now();
        let since = full.filter(|(known, _)| *known == ticket).map_or(now, |(_, since)| since);
        self.full = Some((ticket, since));
        now.since(since) < FULL_MAX
    }

    /// The one in front stays there for so long; says until when.
    fn look_again_in(&self, wait: Duration) -> Moment {
        let ready_at = self.runtime.clock.now().after(wait);
        self.runtime.limiters.lines.blocked(&self.key, ready_at);
        ready_at
    }

    fn wake_line(&self, key: &Key) {
        if let Err(error) = self.runtime.limiters.ensure(key) {
            tracing::warn!(%key, %error, "could not wake the limit that a call waits for");
        }
    }

    /// Waits in a task of its own, no longer than the caller does; the line's bound is the bound of these tasks.
    fn acquire(&self, request: Reserve, mut wait: Wait, reply: RpcReplyPort<Result<Grant, Box<Refusal>>>) {
        let runtime = Arc::clone(&self.runtime);
        wait.max_wait = reply.get_timeout().map_or(wait.max_wait, |timeout| timeout.min(wait.max_wait));
        tokio::spawn(async move {
            let request = Arc::new(request);
            let answer = runtime.acquire(Arc::clone(&request), wait).await.map(|granted| runtime.detach(granted));
            let granted = answer.as_ref().ok().copied();
            if reply.send(answer).is_err()
                && let Some(grant) = granted
            {
                drop(runtime.take_permit(grant.lease_id));
                drop(UnclaimedGrant::new(grant, request, Arc::clone(&runtime.backend)));
            }
        });
    }

    fn arm(&mut self, myself: &ActorRef<RateLimiterMessage>, due: Moment) {
        let wait = due.since(self.runtime.clock.now());
        self.timer.arm(myself, due, wait, |generation| RateLimiterMessage::Tick { generation });
    }
}

/// The key whose line a refused call should stand in, and how long its capacity will take: `own` if that is among those
/// that failed, else the one with the longest wait.
pub(super) fn stopping_key(refusal: &Refusal, own: &Key) -> (Key, Duration) {
    if let Reason::LimitDecreasing(key) = &refusal.reason {
        return (key.clone(), refusal.retry_after);
    }
    let failed = refusal.denied.iter();
    let stopping = failed.max_by_key(|denied| (denied.key == *own, denied.retry_after));
    stopping.map_or((own.clone(), refusal.retry_after), |denied| (denied.key.clone(), denied.retry_after))
}
