//! What needs a real TigerBeetle.

#[cfg(feature = "server")]
mod dev_cluster;
mod servers;
mod sharing;
mod waiting;
