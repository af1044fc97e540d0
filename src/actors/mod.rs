//! The actors of a runtime: each file holds one, with its messages, which are its contract, and its handle.
//!
//! Decisions that can be made now are made in the caller's task, on state that an actor owns and that outlives it.
//! Messages are for what waits, changes, expires or fails.

mod backend;
mod breakers;
mod decide;
mod finish;
mod limiters;
mod mailbox;
mod observer;
mod permits;
mod registry;
mod root;
mod runtime;
mod status;
mod supervision;
mod timer;

#[cfg(feature = "server")]
mod api;
#[cfg(feature = "server")]
pub use api::{ApiMessage, ApiStart};

pub use backend::BackendMessage;
pub use breakers::{BreakersFull, BreakersMessage, CircuitBreakerMessage, Permit};
pub use limiters::{LimitersMessage, RateLimiterMessage, Wait};
pub use mailbox::{CALL_TIMEOUT, CallError, Mailbox};
pub use registry::{Entry, RegistryError, RegistryMessage, Status, StoreError};
pub use root::{Part, RootMessage};
pub use status::ActorStatus;

pub(crate) use breakers::Gate;
pub(crate) use finish::Granted;
pub(crate) use registry::{Store, read_definitions};
pub(crate) use root::Root;
pub(crate) use runtime::Runtime;
pub(crate) use supervision::{Children, ended as supervision_ended};
pub(crate) use timer::Timer;
