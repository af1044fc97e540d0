//! What needs a real TigerBeetle.

mod away;
mod bad_days;
mod definitions;
mod deletions;
#[cfg(feature = "server")]
mod dev_cluster;
mod ends;
mod forerunner;
mod refilling;
mod servers;
mod session;
mod sharing;
mod takers;
mod waiting;
