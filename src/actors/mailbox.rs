//! The way to one actor: it survives the actor's death, knows how much is queued, and refuses what would be too much.
//! ractor's own mailboxes have no bound, and an `ActorRef` dies with its actor.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, RpcReplyPort};
use tokio::sync::watch;

use super::status::ActorStatus;
use crate::policy::Moment;

/// How long a call to an actor may take, its restart included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an actor gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It has as many messages as it may; nothing was done.
    #[error("the actor's queue is full; try again later")]
    Overloaded,
    /// It is not running; nothing was done.
    #[error("the actor is not running; try again later")]
    NotRunning,
    /// It took the message and gave no answer; whether it was done is unknown.
    #[error("the actor gave no answer; whether it was done is unknown, send the same again")]
    NoAnswer,
}

/// The actor behind a mailbox.
#[derive(Debug)]
enum Incarnation<M: Message> {
    /// There is none now; one will be started.
    Awaited,
    /// This one.
    Running(ActorRef<M>),
    /// There will be none any more.
    Ended,
}

impl<M: Message> Incarnation<M> {
    /// Whether it takes messages, or never will. A supervisor learns of a death a little later than it happens.
    fn is_decided(&self) -> bool {
        match self {
            Self::Awaited => false,
            Self::Running(actor) => {
                !matches!(actor.get_status(), ractor::ActorStatus::Stopping | ractor::ActorStatus::Stopped)
            }
            Self::Ended => true,
        }
    }
}

/// A handle that a supervisor points at the actor's present incarnation.
#[derive(Debug)]
pub struct Mailbox<M: Message> {
    name: String,
    actor: watch::Sender<Incarnation<M>>,
    depth: AtomicUsize,
    depth_max: usize,
    starts: AtomicU32,
    started_at: AtomicU64,
}

impl<M: Message> Mailbox<M> {
    /// The way to an actor that is not running yet and may have `depth_max` messages queued.
    #[must_use]
    pub fn new(name: String, depth_max: usize) -> Self {
        let (actor, _) = watch::channel(Incarnation::Awaited);
        let (starts, started_at) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { name, actor, depth: AtomicUsize::new(0), depth_max, starts, started_at }
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The actor's present incarnation, for `ractor::call!` and `cast!`. It dies with the actor; messages sent to it
    /// are not counted against the queue's bound.
    #[must_use]
    pub fn actor(&self) -> Option<ActorRef<M>> {
        match &*self.actor.borrow() {
            Incarnation::Running(actor) => Some(actor.clone()),
            Incarnation::Awaited | Incarnation::Ended => None,
        }
    }

    /// Sends a message and waits for its answer. Waits for an actor that is being restarted.
    ///
    /// # Errors
    /// A [`CallError`], which says whether the message may have been handled.
    pub async fn call<T: Send + 'static>(&self, message: impl FnOnce(RpcReplyPort<T>) -> M) -> Result<T, CallError> {
        let mut running = self.actor.subscribe();
        let decided = running.wait_for(Incarnation::is_decided);
        let _ = tokio::time::timeout(CALL_TIMEOUT, decided).await;
        let actor = self.actor().ok_or(CallError::NotRunning)?;
        self.enter()?;
        match actor.call(message, Some(CALL_TIMEOUT)).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::Timeout | CallResult::SenderError) => Err(CallError::NoAnswer),
            Err(_) => {
                self.left();
                Err(CallError::NotRunning)
            }
        }
    }

    /// The same for a question, which may be asked again when the actor died over it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn ask<T: Send + 'static>(&self, question: impl Fn(RpcReplyPort<T>) -> M) -> Result<T, CallError> {
        let asked = async {
            loop {
                match self.call(&question).await {
                    Err(CallError::NoAnswer | CallError::NotRunning) if !self.has_ended() => {
                        tokio::task::yield_now().await;
                    }
                    answer => return answer,
                }
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, asked).await.unwrap_or(Err(CallError::NoAnswer))
    }

    /// Sends a message that needs no answer.
    ///
    /// # Errors
    /// [`CallError::Overloaded`] or [`CallError::NotRunning`]; the message is lost.
    pub fn cast(&self, message: M) -> Result<(), CallError> {
        let actor = self.actor().ok_or(CallError::NotRunning)?;
        self.enter()?;
        actor.cast(message).map_err(|_| {
            self.left();
            CallError::NotRunning
        })
    }

    /// The actor has taken a message out of its queue. Messages that did not come through here are not counted, so that
    /// the count may already be 0.
    pub(crate) fn left(&self) {
        let less = |depth: usize| Some(depth.saturating_sub(1));
        let _ = self.depth.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Points at a new incarnation, whose queue is empty.
    pub(crate) fn connect(&self, actor: ActorRef<M>, now: Moment) {
        self.depth.store(0, Ordering::Relaxed);
        self.starts.fetch_add(1, Ordering::Relaxed);
        self.started_at.store(now.as_nanos(), Ordering::Relaxed);
        self.actor.send_replace(Incarnation::Running(actor));
    }

    /// The incarnation is dead, and another one will follow.
    pub(crate) fn disconnect(&self) {
        self.actor.send_replace(Incarnation::Awaited);
        self.depth.store(0, Ordering::Relaxed);
    }

    /// The last incarnation is dead: callers no longer wait for another one.
    pub(crate) fn end(&self) {
        self.actor.send_replace(Incarnation::Ended);
        self.depth.store(0, Ordering::Relaxed);
    }

    /// Waits until there is no incarnation any more.
    pub(crate) async fn ended(&self) {
        let mut running = self.actor.subscribe();
        // The sender is in `self`, so that waiting cannot fail.
        let _ = running.wait_for(|actor| matches!(actor, Incarnation::Ended)).await;
    }

    /// How the actor fares.
    pub(crate) fn status(&self, now: Moment) -> ActorStatus {
        let starts = self.starts.load(Ordering::Relaxed);
        let state = match (&*self.actor.borrow(), starts) {
            (Incarnation::Running(_), _) => "running",
            (Incarnation::Ended, _) | (Incarnation::Awaited, 0) => "stopped",
            (Incarnation::Awaited, _) => "restarting",
        };
        let uptime = now.since(Moment::from_nanos(self.started_at.load(Ordering::Relaxed)));
        ActorStatus {
            name: self.name.clone(),
            state,
            restarts: starts.saturating_sub(1),
            uptime_ms: if state == "running" { u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX) } else { 0 },
            queue_depth: self.depth.load(Ordering::Relaxed),
            children: Vec::new(),
        }
    }

    fn has_ended(&self) -> bool {
        matches!(*self.actor.borrow(), Incarnation::Ended)
    }

    fn enter(&self) -> Result<(), CallError> {
        let more = |depth: usize| (depth < self.depth_max).then_some(depth + 1);
        let entered = self.depth.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.map(|_| ()).map_err(|_| CallError::Overloaded)
    }
}
