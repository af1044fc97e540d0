//! What one answer says, as values.

use std::time::Duration;

/// What a limit of a provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The provider did not say.
    Any,
    /// Calls.
    Requests,
    /// Tokens of prompts and answers.
    Tokens,
    /// Tokens of prompts.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
}

impl Dimension {
    /// Whether a limit that counts `unit` is meant.
    #[must_use]
    pub fn covers_unit(self, unit: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Requests => unit == "requests",
            Self::Tokens => matches!(unit, "tokens" | "input_tokens" | "output_tokens"),
            Self::InputTokens => unit == "input_tokens",
            Self::OutputTokens => unit == "output_tokens",
        }
    }

    /// The narrowest dimension that is both.
    pub(super) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (one, another) if one == another => one,
            (Self::Any | Self::Requests, _) | (_, Self::Any | Self::Requests) => Self::Any,
            _ => Self::Tokens,
        }
    }
}

/// How much of a limit the provider has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Of which.
    pub dimension: Dimension,
    /// How much.
    pub remaining: u64,
    /// When all of it is back, from now.
    pub resets_after: Duration,
}

/// What to do about calls like this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignalVerdict {
    /// Nothing.
    #[default]
    None,
    /// The limit is used up for this long; `ZERO` when the provider did not say for how long, and then nothing is to be
    /// paused: the call was refused, and that is all that is known.
    Wait {
        /// From now.
        after: Duration,
        /// Of what there is no more.
        dimension: Dimension,
    },
    /// The limit is used up until this time of the wall clock, which is later than now.
    Until {
        /// Milliseconds since 1970.
        unix_ms: u64,
        /// Of what there is no more.
        dimension: Dimension,
    },
    /// The provider is overloaded, whoever calls.
    Overload {
        /// How long it asks its callers to stay away, if it does.
        after: Option<Duration>,
    },
    /// The same call will not pass until a person changes something.
    Never {
        /// Why: `insufficient_quota`, `spend_limit_exceeded`, `organization_usage_limit_exceeded`,
        /// `request_too_large`, `enforced_spend_limit_reached`, `spend_limit`, `no_quota` or `quota_exceeded`.
        code: &'static str,
    },
}

/// All that one answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// What to do.
    pub verdict: SignalVerdict,
    /// What is left, as far as the headers say so together with the time of its reset. One dimension may stand here
    /// twice, with different resets.
    pub remaining: Vec<Remaining>,
    /// How many values were of no use: negative, absurdly far, too long, or in no known format.
    pub ignored: u32,
}

impl Signals {
    /// How long the provider asks its callers to stay away, if it does: a floor for the time a breaker stays open.
    #[must_use]
    pub fn retry_after(&self, now_unix_ms: u64) -> Option<Duration> {
        let after = match self.verdict {
            SignalVerdict::Wait { after, .. } => Some(after),
            SignalVerdict::Until { unix_ms, .. } => Some(Duration::from_millis(unix_ms.saturating_sub(now_unix_ms))),
            SignalVerdict::Overload { after } => after,
            SignalVerdict::None | SignalVerdict::Never { .. } => None,
        };
        after.filter(|after| !after.is_zero())
    }
}
