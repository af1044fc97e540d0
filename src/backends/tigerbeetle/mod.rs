//! The ledger in a cluster of TigerBeetle, which many servers share.
//!
//! From the outside in: `ledger` keeps deadlines and policies; `reserve`, `complete`, `renew`, `opening`, `views` say
//! what is done, over `books`; `chart`, `ids`, `definition_log`, `lease`, `ticks` say what it looks like in the
//! cluster; `session` and what it needs is the way there.

mod again;
mod answer;
mod away;
mod books;
mod call;
mod chart;
mod client;
mod cluster_clock;
mod comparing;
mod complete;
mod connect;
mod counting;
mod crash_point;
mod definition_log;
mod detach;
mod dial;
mod ending;
mod finding;
mod following;
mod forerunner;
mod ids;
mod in_time;
mod keeping_up;
mod lease;
mod leases;
mod ledger;
mod limit;
mod limit_table;
mod limits;
mod line;
mod link;
mod opening;
mod outbox;
mod packet;
mod recovery;
mod refusing;
mod renew;
mod reserve;
mod retiring;
mod session;
mod settlement;
mod step;
mod template;
mod ticks;
mod views;
mod vitals;
mod watchdog;

pub use answer::{Answer, SessionError};
pub use connect::ConnectError;
pub use detach::{TimedOut, within_deadline};
pub use ledger::TigerBeetleLedger;
pub use session::{Failures, Session};
