//! How the actors fare, for people.

use serde::Serialize;

/// One actor and those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorStatus {
    /// Its name, which begins with the runtime's.
    pub name: String,
    /// `running`, `restarting` or `stopped`.
    pub state: &'static str,
    /// How often it was started again.
    pub restarts: u32,
    /// Since its last start.
    pub uptime_ms: u64,
    /// Messages it has yet to handle.
    pub queue_depth: usize,
    /// The actors it supervises.
    pub children: Vec<ActorStatus>,
}
