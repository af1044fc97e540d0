//! What a limit is, checked.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::definition_fields::DefinitionFields;
use super::moment::Seconds;
use super::pattern::KeyPattern;
use super::when_unavailable::WhenUnavailable;

/// What happens to the part of an actual that exceeds its reservation and does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overage {
    /// Counted in a metric only.
    Deny,
    /// Added to the limit's debt, which is accounting only.
    #[default]
    Debt,
    /// Added to the limit's debt, which is paid from capacity as it frees, before anyone is admitted.
    Repay,
}

/// Whether a limit's decisions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A call that does not fit is denied.
    #[default]
    Enforce,
    /// A call that does not fit is counted as `would_deny` and admitted.
    Shadow,
}

/// How a limit frees what was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each reservation frees its amount exactly `window` after it was made.
    Rolling {
        /// The window's length.
        window: Seconds,
    },
    /// Held until the lease completes, or until `timeout`.
    Concurrency {
        /// The longest time a lease holds its amount without being renewed.
        timeout: Seconds,
    },
    /// Starts full and refills continuously by `refill_amount` every `refill_period`.
    TokenBucket {
        /// How much flows in per period.
        refill_amount: NonZeroU64,
        /// The period of the flow.
        refill_period: Seconds,
    },
}

impl Kind {
    /// The name of [`Self::Concurrency`].
    pub const CONCURRENCY: &'static str = "concurrency";

    /// The kind's name as people write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rolling { .. } => "rolling",
            Self::Concurrency { .. } => Self::CONCURRENCY,
            Self::TokenBucket { .. } => "token_bucket",
        }
    }
}

/// A checked definition of one limit, or of a template's family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "DefinitionFields")]
pub struct Definition {
    /// The limit's key, or the template.
    pub pattern: KeyPattern,
    /// How it frees.
    pub kind: Kind,
    /// The most that may be taken at once; for a token bucket the burst.
    pub capacity: NonZeroU64,
    /// What is counted, such as `tokens`; shown, not interpreted.
    pub unit: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What happens to use beyond the reservation.
    pub overage: Overage,
    /// Whether decisions are kept.
    pub mode: Mode,
    /// What it answers while its ledger does not.
    pub when_unavailable: WhenUnavailable,
}
