//! What a ledger shows of itself.

use serde::Serialize;

use crate::policy::{Counters, DefinitionFields, Key, KeyPattern, Kind, Label, LeaseId, LimitState, Moment};

/// What one limit has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which limit.
    pub key: Key,
    /// The template it is an instance of.
    pub template: Option<KeyPattern>,
    /// Its definition; `capacity` here is the one wanted, below the one in force.
    pub definition: DefinitionFields,
    /// The capacity in force.
    pub capacity: u64,
    /// What can be reserved now, but for a pause.
    pub available: u64,
    /// What is withheld because the provider has less left than these books.
    pub withheld: u64,
    /// When the pause that the provider asked for ends; `None` if there is none.
    pub paused_until: Option<Moment>,
    /// What was used beyond reservations and did not fit.
    pub debt: u128,
    /// Whether the definition is in force.
    pub state: LimitState,
    /// What it has counted.
    pub counters: Counters,
}

impl Usage {
    /// Whether the limit counts what is held at once.
    #[must_use]
    pub fn is_concurrency(&self) -> bool {
        self.definition.kind == Kind::CONCURRENCY
    }
}

/// A page of usages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePage {
    /// The limits of this page.
    pub limits: Vec<Usage>,
    /// Where the next page begins; `None` after the last.
    pub next_cursor: Option<u64>,
}

/// One lease, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Which lease.
    pub lease_id: LeaseId,
    /// Wall time of the grant.
    pub reserved_at_unix_ms: u64,
    /// The job it was made for.
    pub job_id: Option<Label>,
    /// The tenant it was made for.
    pub tenant: Option<Label>,
    /// What it holds: key, amount and when the hold ends by itself. Empty once it is over.
    pub holds: Vec<HeldAmount>,
    /// Whether it still holds anything.
    pub is_live: bool,
}

/// What a lease holds of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAmount {
    /// Of which limit.
    pub key: Key,
    /// How much was reserved.
    pub amount: u64,
    /// When the hold ends by itself.
    pub expires_at: Moment,
}

/// What a backend has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Limits that exist now, instances of templates among them.
    pub limits: u64,
    /// Leases that hold something now.
    pub live_leases: u64,
    /// Decisions over reservations, those over waiting calls that try again included.
    pub decided: u64,
    /// Reservations granted.
    pub granted: u64,
    /// Callers who were told that there is no room.
    pub denied: u64,
    /// Leases completed.
    pub completed: u64,
    /// Leases that ended by the expiry of their last hold.
    pub expired: u64,
    /// Per definition.
    pub definitions: Vec<DefinitionTotals>,
}

/// What the limits of one definition add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionTotals {
    /// Which definition.
    pub pattern: KeyPattern,
    /// What its limits have counted, those that are gone included.
    pub counters: Counters,
    /// Whether a provider's pause of one of them is in force.
    pub is_paused: bool,
}

/// Whether a backend can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Up,
    /// It cannot, and why.
    Down(String),
}

/// How the connection to a ledger elsewhere fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// Requests on their way to it and back.
    pub in_flight: u64,
    /// The most of them; more are refused at once.
    pub in_flight_max: u64,
    /// How long it has not answered; `None` while it does.
    pub away_since_ms: Option<u64>,
    /// Calls that got no answer by the deadline.
    pub timed_out: u64,
    /// Grants that came after the deadline, when their caller was told otherwise.
    pub late_grants_given_back: u64,
    /// How often the client was replaced.
    pub rebuilt: u64,
    /// Reservations that were denied because it was away, as `when_unavailable` says.
    pub denied_while_away: u64,
    /// Reservations that passed a limit uncounted because it was away, as `when_unavailable` says.
    pub allowed_while_away: u64,
    /// Reservations that were granted out of this server's own share because it was away, as `when_unavailable` says.
    pub shared_while_away: u64,
}
