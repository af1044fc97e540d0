//! Tollgate.

pub mod clock;
pub mod policy;
