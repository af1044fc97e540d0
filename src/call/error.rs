//! Why a guarded call has no answer.

use std::convert::Infallible;
use std::time::Duration;

use crate::policy::{InvalidRequest, Key, Refusal};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a guarded call has no answer. `E` is the error of the call itself.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// There was no room in time, the breaker is open, or a limit does not exist. The call did not run.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The call is described wrongly. It did not run.
    #[error(transparent)]
    Invalid(InvalidRequest),
    /// The call ran for as long as one attempt may, and was dropped.
    #[error("the call was not done within {} ms and was dropped; allow more with `deadline`", after.as_millis())]
    TimedOut {
        /// The deadline of one attempt.
        after: Duration,
    },
    /// A hook refused the call or ended it.
    #[error("a hook stopped the call: {0}")]
    Stopped(BoxError),
    /// The call ran and failed by itself.
    #[error("{0}")]
    Failed(E),
}

/// Why a hook refuses a call, or ends one that runs. It has no error of the call itself.
pub type HookError = CallError<Infallible>;

impl HookError {
    /// The same, for a call whose own error is an `E`.
    pub fn widen<E>(self) -> CallError<E> {
        match self {
            Self::Refused(refusal) => CallError::Refused(refusal),
            Self::Invalid(invalid) => CallError::Invalid(invalid),
            Self::TimedOut { after } => CallError::TimedOut { after },
            Self::Stopped(error) => CallError::Stopped(error),
            Self::Failed(never) => match never {},
        }
    }
}

impl<E> From<Box<Refusal>> for CallError<E> {
    fn from(refusal: Box<Refusal>) -> Self {
        Self::Refused(refusal)
    }
}

impl<E> From<InvalidRequest> for CallError<E> {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Invalid(invalid)
    }
}

/// Why a report of a running call was not taken. Nothing of it was noted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A key is none.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The call does not hold this key.
    #[error("the call does not hold `{0}`; report only keys that it required")]
    KeyNotHeld(Key),
    /// The cost of tokens cannot be known.
    #[error("the call did not say which model its tokens are of; use `CallSpec::tokens`, or report the cost itself")]
    NoModel,
    /// The call is over, and its books are closed.
    #[error("the call is over, and what it used is already settled")]
    Ended,
}
