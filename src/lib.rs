//! Tollgate.

pub mod actors;
pub mod backends;
pub mod clock;
pub mod config;
pub mod policy;
pub mod tollgate;

pub use tollgate::Tollgate;
