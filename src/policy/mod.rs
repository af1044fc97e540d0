//! Pure policy: what limits, leases, lines and supervisors decide. No runtime, no clock, no I/O; time is an argument.

mod amounts;
mod backoff;
mod call_report;
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
mod nearest;
mod next_try;
mod outcome;
mod pattern;
mod place_index;
mod preset;
mod price;
mod priority;
mod provider_signals;
mod request;
mod restart;
mod restraint;
pub mod retry_after;
mod retry_budget;
mod rolling_window;
mod schedule;
mod token_bucket;
mod verdict;
mod when_unavailable;

pub use amounts::{Amount, Amounts, KEYS_PER_REQUEST_MAX};
pub use backoff::Backoff;
pub use call_report::CallReport;
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
pub use line::{Candidate, Line, Ticket, Turns};
pub use mistake::{InvalidRequest, Mistake};
pub use moment::{Moment, SECONDS_MAX, Seconds};
pub(crate) use nearest::nearest;
pub use next_try::{NextTry, next_try};
pub use outcome::{Class, Classify, Fault, Outcome, StandardClassify};
pub use pattern::KeyPattern;
pub(crate) use place_index::PlaceIndex;
pub use preset::Preset;
pub use price::{PRICES_MAX, Price, PriceTable, UnknownModel, UsdMicros};
pub use priority::Priority;
pub use provider_signals::{
    BODY_BYTES_MAX, CallLimit, Dimension, HEADER_BYTES_MAX, HEADERS_MAX, Provider, ProviderResponse, Remaining,
    SIGNAL_WAIT_MAX, SignalRestraint, SignalVerdict, Signals, concerned_limits, read_signals,
};
pub use request::{Complete, Renew, Reserve, parse_keys};
pub use restart::{ChildExit, RestartIntensity, RestartLedger, RestartVerdict};
pub use restraint::Restraint;
#[cfg(feature = "tigerbeetle")]
pub(crate) use restraint::Restraints;
pub use retry_budget::RetryBudget;
pub use rolling_window::RollingWindow;
pub use schedule::{
    Cancelled, Deferral, Deferred, Ended, Held, JobSpec, QueueView, Schedule, ScheduleBounds, ScheduleFull, Scheduled,
    Step, Turn, Upstream,
};
pub use token_bucket::TokenBucket;
pub use verdict::{Counters, LimitState, Verdict};
pub use when_unavailable::{Percent, UnavailableMode, WhenUnavailable};
