//! The ledger in a cluster of TigerBeetle: what it takes to talk to one.

mod answer;
mod call;
mod client;
mod cluster_clock;
mod connect;
mod crash_point;
mod detach;
mod dial;
mod recovery;
mod session;
mod vitals;
mod watchdog;

pub use answer::{Answer, SessionError};
pub use connect::ConnectError;
pub use detach::{TimedOut, within_deadline};
pub use session::Session;
