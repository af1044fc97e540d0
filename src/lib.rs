//! Tollgate.

pub mod actors;
#[cfg(feature = "server")]
pub mod api;
pub mod backends;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
pub mod config;
pub mod policy;
pub mod tollgate;

pub use tollgate::Tollgate;
