//! What needs a real TigerBeetle.

mod bad_days;
#[cfg(feature = "server")]
mod dev_cluster;
mod servers;
mod session;
mod sharing;
mod waiting;
