//! What a supervisor learns from the end of a child, and does about it. ractor restarts nothing by itself, and reports
//! a kill as an ordinary termination with the reason `killed`.

use std::collections::HashMap;
use std::fmt::Display;

use ractor::{ActorId, ActorProcessingErr, ActorRef, Message, SupervisionEvent};

use crate::policy::{ChildExit, Moment, RestartIntensity, RestartLedger, RestartVerdict};

/// The reason an actor gives when it stops because it is no longer needed.
pub(super) const RETIRED: &str = "retired";

/// The end of a child.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) id: ActorId,
    pub(crate) exit: ChildExit,
    pub(crate) reason: String,
}

/// The end that an event reports, if it does. Children are permanent: one that just stops has failed, unless it
/// retired.
pub(crate) fn ended(event: &SupervisionEvent) -> Option<Ended> {
    match event {
        SupervisionEvent::ActorFailed(actor, error) => {
            Some(Ended { id: actor.get_id(), exit: ChildExit::Failed, reason: error.to_string() })
        }
        SupervisionEvent::ActorTerminated(actor, _, reason) => {
            let reason = reason.clone().unwrap_or_else(|| "stopped".to_owned());
            let exit = if reason == RETIRED { ChildExit::Finished } else { ChildExit::Failed };
            Some(Ended { id: actor.get_id(), exit, reason })
        }
        _ => None, // Starts and process groups; the enum grows with ractor's features.
    }
}

/// The children of one supervisor, each by what it is for, and how often they died.
#[derive(Debug)]
pub(crate) struct Children<K> {
    /// What they are called in the error of a supervisor that gives up.
    kind: &'static str,
    running: HashMap<ActorId, K>,
    restarts: RestartLedger,
}

impl<K> Children<K> {
    /// None yet.
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, running: HashMap::new(), restarts: RestartLedger::new(RestartIntensity::default()) }
    }

    /// One was started.
    pub(crate) fn insert(&mut self, id: ActorId, of: K) {
        self.running.insert(id, of);
    }

    /// One has ended; `None` if it was none of these, or is known to have ended.
    pub(crate) fn remove(&mut self, id: ActorId) -> Option<K> {
        self.running.remove(&id)
    }

    /// One has ended, or did not start: sends `restart` to the supervisor after the delay that its restarts so far call
    /// for. Says whether it does; not for one that retired.
    pub(crate) fn schedule<M: Message>(
        &mut self,
        supervisor: &ActorRef<M>,
        now: Moment,
        child: impl Display,
        (exit, reason): (ChildExit, &str),
        restart: impl FnOnce() -> M + Send + 'static,
    ) -> Result<bool, ActorProcessingErr> {
        match self.restarts.on_exit(exit, now, fastrand::u64(..)) {
            RestartVerdict::LeaveStopped => Ok(false),
            RestartVerdict::Restart { after } => {
                tracing::warn!(kind = self.kind, %child, reason, ?after, "an actor died and is started again");
                supervisor.send_after(after, restart);
                Ok(true)
            }
            RestartVerdict::Escalate => Err(format!("{} die too often, the last for: {reason}", self.kind).into()),
        }
    }
}
