//! What a limit tells: whether an amount fits, whether its definition is in force, and what it has counted.

use std::num::NonZeroU64;

use super::hold_log::FreeAt;

/// What a limit says of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room.
    Fits,
    /// It is above the capacity: waiting does not help.
    NeverFits,
    /// The capacity is being lowered, and nothing is admitted until that has happened.
    Decreasing,
    /// The provider asked to wait. The amount fits no earlier than at the end of the pause, and later if there is no
    /// room then.
    Paused(FreeAt),
    /// There is no room now.
    Wait(FreeAt),
}

/// Whether a limit's definition is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitState {
    /// It is.
    Active,
    /// Its capacity waits to be lowered.
    Decreasing {
        /// The capacity it will have.
        to: NonZeroU64,
    },
}

/// What a limit has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reservations it refused.
    pub denied: u64,
    /// Reservations it would have refused, were it not in shadow mode.
    pub would_deny: u64,
    /// Units used beyond a reservation that did not fit.
    pub overage: u64,
}
