//! What a supervisor learns from the end of a child. ractor restarts nothing by itself, and reports a kill as an
//! ordinary termination with the reason `killed`.

use ractor::{ActorId, SupervisionEvent};

use crate::policy::ChildExit;

/// The reason an actor gives when it stops because it is no longer needed.
pub(super) const RETIRED: &str = "retired";

/// The end of a child.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) id: ActorId,
    pub(super) exit: ChildExit,
    pub(super) reason: String,
}

/// The end that an event reports, if it does. Children are permanent: one that just stops has failed, unless it
/// retired.
pub(super) fn ended(event: &SupervisionEvent) -> Option<Ended> {
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
