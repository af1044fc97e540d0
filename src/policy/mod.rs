//! Pure policy: what limits, leases, lines and supervisors decide. No runtime, no clock, no I/O; time is an argument.

mod amounts;
mod backoff;
mod circuit_breaker;
mod concurrency;
mod decision;
mod definition;
mod definition_fields;
mod expiring_table;
mod hold_log;
mod key;
mod lease;
mod limit;
mod line;
mod meter;
mod mistake;
mod moment;
mod outcome;
mod pattern;
mod request;
mod restart;
mod restraint;
pub mod retry_after;
mod rolling_window;
mod token_bucket;
mod verdict;

pub use amounts::{Amount, Amounts, KEYS_PER_REQUEST_MAX};
pub use backoff::Backoff;
pub use circuit_breaker::{
    Admission, BreakerFields, BreakerName, BreakerOpen, BreakerSettings, BreakerState, BreakerView, Cause,
    CircuitBreaker, Override, PermitId, Transition,
};
pub use concurrency::Concurrency;
pub use decision::{DeniedKey, Grant, LeaseError, Reason, Refusal};
pub use definition::{Definition, Kind, Mode, Overage};
pub use definition_fields::DefinitionFields;
pub use expiring_table::ExpiringTable;
pub use hold_log::{FreeAt, HoldId, HoldLog};
pub use key::{KEY_BYTES_MAX, Key};
pub use lease::{Hold, LABEL_BYTES_MAX, Label, Labels, Lease, LeaseId, LimitIndex};
pub use limit::Limit;
pub use line::{Candidate, Line, Priority, Ticket, Turns};
pub use mistake::{InvalidRequest, Mistake};
pub use moment::{Moment, SECONDS_MAX, Seconds};
pub use outcome::{Class, Classify, Fault, Outcome, StandardClassify};
pub use pattern::KeyPattern;
pub use request::{Complete, Renew, Reserve, parse_keys};
pub use restart::{ChildExit, RestartIntensity, RestartLedger, RestartVerdict};
pub use restraint::Restraint;
pub use rolling_window::RollingWindow;
pub use token_bucket::TokenBucket;
pub use verdict::{Counters, LimitState, Verdict};
