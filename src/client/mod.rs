//! What a host holds to reserve and complete, wherever its Tollgate runs: [`Limiter`] and those who keep it.

mod limiter;
mod local;
mod noop;

#[cfg(test)]
mod tests;

pub use limiter::{Attempt, Completion, Limiter};
pub use local::LocalLimiter;
pub use noop::NoopLimiter;
