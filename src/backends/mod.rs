//! Where the books are kept: the contract of every backend.

pub mod memory;
#[cfg(feature = "tigerbeetle")]
pub mod tigerbeetle;

mod families;
mod open;
mod refusal;
mod shown;

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use open::OpenError;
pub(crate) use open::{MakeLedger, open};
pub use shown::{DefinitionTotals, Health, HeldAmount, LeaseView, SessionStatus, Totals, Usage, UsagePage};

use crate::policy::{
    Amounts, Complete, Definition, Grant, Key, KeyPattern, LeaseError, LeaseId, LimitState, Moment, Refusal, Renew,
    Reserve, Restraint,
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

impl From<BackendError> for LeaseError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error.0)
    }
}

/// Told by a backend what nobody asked for. Called outside every lock; must not block.
pub trait Observer: Send + Sync + 'static {
    /// Capacity of the watched limit `key` was freed, its decrease was applied, or it is gone.
    fn capacity_freed(&self, key: &Key);

    /// Another server changed or deleted this definition; to apply the own one again tells which is in force.
    fn changed_elsewhere(&self, pattern: &KeyPattern) {
        let _ = pattern;
    }
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

    /// Takes a definition out that has this version or an older one; where servers share a ledger, a newer one of
    /// another server stays. Its leases end as they would have, and count nowhere. Done again it changes nothing more.
    fn remove(&self, pattern: &KeyPattern, version: u64) -> Reply<Result<(), BackendError>>;

    /// The definition in force here that covers `key`: an exact one, else the best template. Asks nobody, so that it is
    /// there whether or not a ledger elsewhere answers.
    fn definition_of(&self, key: &Key) -> Option<Arc<Registered>>;

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
