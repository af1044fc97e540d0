//! How a runtime fares, for people.

use serde::Serialize;

use crate::actors::{ActorStatus, Runtime};
use crate::backends::{Health, SessionStatus, Usage};
use crate::policy::Moment;

/// What one limit has taken, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUsage {
    /// The books' side.
    pub usage: Usage,
    /// How many calls wait for it.
    pub waiters: usize,
    /// The end of its pause on the wall clock, for people.
    pub paused_until_unix_ms: Option<u64>,
}

/// A runtime, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Of this library.
    pub version: &'static str,
    /// The runtime's name.
    pub name: String,
    /// `running` or `stopping`.
    pub state: &'static str,
    /// Since it was started.
    pub uptime_ms: u64,
    /// The books.
    pub backend: BackendStatus,
    /// How many calls wait.
    pub waiters: usize,
    /// The tree of actors.
    pub actors: ActorStatus,
}

/// The books, as they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendStatus {
    /// `memory` or `tigerbeetle`.
    pub kind: &'static str,
    /// Whether it answers.
    pub healthy: bool,
    /// Why not.
    pub detail: String,
    /// Limits that exist, instances of templates among them.
    pub limits: u64,
    /// Leases that hold something.
    pub live_leases: u64,
    /// Reservations granted.
    pub granted: u64,
    /// Reservations refused for want of room.
    pub denied: u64,
    /// Leases completed.
    pub completed: u64,
    /// Leases that ended by themselves.
    pub expired: u64,
    /// Definitions that are saved and not yet in force, or deleted and still in force, because it did not answer.
    pub not_in_force: u64,
    /// Definitions that are saved and not in force, because another server made newer ones.
    pub superseded: u64,
    /// How the connection fares; `None` for books in this process.
    pub session: Option<SessionStatus>,
}

impl Status {
    pub(super) fn of(runtime: &Runtime) -> Self {
        let totals = runtime.backend.totals();
        let (healthy, detail) = match runtime.backend.health() {
            Health::Up => (true, String::new()),
            Health::Down(detail) => (false, detail),
        };
        let standing = runtime.store.standing_counts();
        let uptime = runtime.clock.now().since(Moment::START);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            name: runtime.name.clone(),
            state: if runtime.is_closing() { "stopping" } else { "running" },
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            backend: BackendStatus {
                kind: runtime.backend.kind(),
                healthy,
                detail,
                limits: totals.limits,
                live_leases: totals.live_leases,
                granted: totals.granted,
                denied: totals.denied,
                completed: totals.completed,
                expired: totals.expired,
                not_in_force: standing.not_in_force,
                superseded: standing.superseded,
                session: runtime.backend.session(),
            },
            waiters: runtime.limiters.lines.waiting(),
            actors: runtime.actors(),
        }
    }
}
