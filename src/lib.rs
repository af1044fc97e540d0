//! Tollgate.

pub mod backends;
pub mod clock;
pub mod config;
pub mod policy;
