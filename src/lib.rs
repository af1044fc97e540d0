//! Tollgate.

#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
pub mod policy;
