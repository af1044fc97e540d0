//! Where the books are kept: the contract of every backend.

pub mod memory;
#[cfg(feature = "tigerbeetle")]
pub mod tigerbeetle;

mod families;
mod open;
mod refusal;

use std::future::ready;
use std::sync::Arc;

pub use open::OpenError;
pub(crate) use open::{MakeLedger, open};

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::policy::{
    Amounts, Complete, Counters, Definition, DefinitionFields, Grant, Key, KeyPattern, Kind, Label, LeaseError,
    LeaseId, LimitState, Moment, Refusal, Renew, Reserve, Restraint,
};

/// An answer that is there, or that is on its way. A ledger in memory answers without a future, and so without an
/// allocation; one behind a network does not.
///
/// What a method of [`Backend`] does goes on if its reply is dropped, also where there is no runtime of tasks any more:
/// only whoever wants to know how it went waits. A reservation is the exception: if its reply is dropped before it is
/// there, nobody knows of the grant, and it is given back.
pub enum Reply<T> {
    /// Here it is.
    Now(T),
    /// It is on its way.
    Later(BoxFuture<'static, T>),
}

impl<T> Reply<T> {
    /// Waits for the answer.
    pub async fn get(self) -> T {
        match self {
            Self::Now(answer) => answer,
            Self::Later(future) => future.await,
        }
    }
}

/// A definition that the registry has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What the limit is.
    pub definition: Definition,
    /// Rises with every accepted change.
    pub version: u64,
}

/// What became of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The books follow it.
    InForce(LimitState),
    /// The books follow a newer definition (or another one with this version), made elsewhere. This one was not taken.
    Superseded {
        /// Of the one that they follow.
        version: u64,
    },
}

/// Why a backend could not do what it was asked; whether it was done is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

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

/// Told by a backend when a watched limit may have room again. Called outside every lock; must not block.
pub trait Observer: Send + Sync + 'static {
    /// Capacity of `key` was freed, its decrease was applied, or it is gone.
    fn capacity_freed(&self, key: &Key);
}

/// A ledger. Every method may be called from any task; none of them blocks.
pub trait Backend: Send + Sync + 'static {
    /// What it is called in configuration and status.
    fn kind(&self) -> &'static str;

    /// Takes a definition in force, unless it knows a newer one: creates, raises or lowers. The same version twice
    /// changes nothing more.
    ///
    /// # Errors
    /// A [`BackendError`] if whether it was done is unknown.
    fn apply(&self, registered: &Arc<Registered>) -> Reply<Result<Applied, BackendError>>;

    /// Takes a definition out. Its leases end as they would have, and count nowhere.
    fn remove(&self, pattern: &KeyPattern) -> Reply<Result<(), BackendError>>;

    /// Grants all that is asked for, or charges nothing.
    fn reserve(&self, request: &Reserve) -> Reply<Result<Grant, Box<Refusal>>>;

    /// Does what a provider asks of a limit. An instance of a template is made for it if need be, and if there may be
    /// one more; a key without a limit has nothing to restrain.
    ///
    /// # Errors
    /// A [`BackendError`] if whether it was done is unknown; it can be asked again.
    fn restrain(&self, key: &Key, restraint: Restraint) -> Reply<Result<(), BackendError>>;

    /// Counts a refusal that a caller was told. A waiting call that tries again in vain is none.
    fn count_refusal(&self, refusal: &Refusal);

    /// Answers as [`Self::reserve`] would, and charges nothing.
    fn peek(&self, amounts: &Amounts) -> Reply<Result<(), Box<Refusal>>>;

    /// Ends a lease. One that is unknown or over is no error.
    fn complete(&self, request: &Complete) -> Reply<Result<(), LeaseError>>;

    /// Ends a lease whose grant nobody took. One whose grant was given out again goes on: the other caller has it.
    fn give_back(&self, request: &Complete) -> Reply<Result<(), LeaseError>>;

    /// Extends the concurrency holds of a live lease; says when its last hold will end.
    fn renew(&self, request: &Renew) -> Reply<Result<Moment, LeaseError>>;

    /// One lease; `None` if it is not known, or no longer.
    fn lease(&self, lease_id: LeaseId) -> Reply<Result<Option<LeaseView>, BackendError>>;

    /// One limit; `None` if no definition covers the key. Looking makes no instance of a template.
    fn usage(&self, key: &Key) -> Reply<Result<Option<Usage>, BackendError>>;

    /// The limits that exist, from `cursor` on (0 is the beginning), at most `count`.
    fn usages(&self, cursor: u64, count: usize) -> Reply<Result<UsagePage, BackendError>>;

    /// Lets time pass for one limit. While a decrease is pending, says when to try again if nothing completes.
    fn settle(&self, key: &Key) -> Reply<Result<Settled, BackendError>>;

    /// Whether the observer wants to hear of this key.
    fn watch(&self, key: &Key, watched: bool);

    /// A step of housekeeping; says whether there is more to do now.
    fn sweep(&self) -> bool;

    /// What it has counted.
    fn totals(&self) -> Totals;

    /// Whether it can answer.
    fn health(&self) -> Health;

    /// How its connection fares, if its books are kept elsewhere.
    fn session(&self) -> Option<SessionStatus> {
        None
    }

    /// The runtime has ended: waits for what still goes on by itself, such as the ends of leases that were dropped. The
    /// ledger may be asked after it all the same.
    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
}

/// What [`Backend::settle`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The definition is in force.
    Active,
    /// A decrease is still pending.
    Decreasing {
        /// When to try again.
        next_change: Option<Moment>,
    },
    /// There is no such limit (any more).
    Unknown,
}
