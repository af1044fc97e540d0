//! Circuit breakers: each stops the calls to one upstream while they would fail, and lets a few probes find out when
//! they would not. The pattern is Michael Nygard's (*Release It!*); rates over a window, slow calls and probes that are
//! counted exactly are as in Resilience4j and Polly.

mod admission;
mod machine;
mod name;
mod permit_id;
mod probes;
mod settings;
mod settings_fields;
mod transition;
mod view;
mod window;

pub use admission::Admission;
pub use machine::CircuitBreaker;
pub use name::BreakerName;
pub use permit_id::PermitId;
pub use settings::BreakerSettings;
pub use settings_fields::BreakerFields;
pub use transition::{BreakerOpen, BreakerState, Cause, Override, Transition};
pub use view::BreakerView;

#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod properties_tests;
#[cfg(test)]
mod settings_tests;
