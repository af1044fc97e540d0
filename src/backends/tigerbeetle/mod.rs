//! The ledger in a cluster of TigerBeetle, which many servers share.
//!
//! From the outside in: `ledger` keeps deadlines and policies; `reserve`, `complete`, `renew`, `opening`, `views` say what
//! is done, over `books`; `chart`, `ids`, `definition_log`, `lease`, `ticks` say what it looks like in the cluster;
//! `session` and what it needs is the way there.

mod away;
mod books;
mod call;
mod chart;
mod client;
mod cluster_clock;
mod complete;
mod connect;
mod counting;
mod crash_point;
mod definition_log;
mod detach;
mod dial;
mod finding;
mod following;
mod ids;
mod lease;
mod leases;
mod ledger;
mod limit;
mod limits;
mod opening;
mod patience;
mod recovery;
mod refusing;
mod renew;
mod reserve;
mod session;
mod ticks;
mod views;
mod vitals;
mod watchdog;

pub use connect::ConnectError;
pub use detach::{TimedOut, within_deadline};
pub use ledger::TigerBeetleLedger;
pub use session::{Answer, Session, SessionError};
