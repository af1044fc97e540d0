//! Tollgate.

pub mod backends;
pub mod clock;
pub mod policy;
