//! What an answer of an LLM provider says about its limits: to wait, to give up, or how much is left.
//!
//! Whatever a provider sends, nothing here panics or reads without bound, and a value that makes no sense changes
//! nothing but the count of what was ignored.

mod anthropic;
mod azure_openai;
mod body;
mod formats;
mod gemini;
mod generic;
mod headers;
mod ietf;
mod message;
mod openai;
mod restraint;
mod signals;
mod verdict;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use body::BODY_BYTES_MAX;
pub use headers::{HEADER_BYTES_MAX, HEADERS_MAX};
pub use restraint::{CallLimit, SignalRestraint, concerned_limits};
pub use signals::{Dimension, Remaining, SignalVerdict, Signals};

use body::Body;
use headers::Headers;

/// Longer waits are taken for nonsense, and so are resets that are further away.
pub const SIGNAL_WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Whose answers are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI, and what speaks like it.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini, also on Vertex AI.
    Gemini,
    /// Azure OpenAI, also behind API Management.
    AzureOpenAi,
    /// Any other: its standard headers are read.
    #[default]
    Other,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 5] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::AzureOpenAi, Self::Other];

    /// The provider with this name: `openai`, `anthropic`, `gemini`, `azure_openai`; any other name is [`Self::Other`].
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "openai" => Self::OpenAi,
            "anthropic" => Self::Anthropic,
            "gemini" => Self::Gemini,
            "azure_openai" => Self::AzureOpenAi,
            _ => Self::Other,
        }
    }

    /// The provider's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::AzureOpenAi => "azure_openai",
            Self::Other => "other",
        }
    }
}

/// An answer, or as much of it as is known.
#[derive(Clone, Copy, Debug)]
pub struct ProviderResponse<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Names in any case, and values. At most [`HEADERS_MAX`] of those that are of interest are read.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body of an error, or the error event of a stream that began with a 200; else empty. At most
    /// [`BODY_BYTES_MAX`] of it are read.
    pub body: &'a [u8],
}

/// Reads an answer. A wait is taken from the first of these that has one above zero: `retry-after-ms`,
/// `x-ms-retry-after-ms`, `retry-after`, the body, the reset of a limit of which nothing is left.
#[must_use]
pub fn read_signals(provider: Provider, response: &ProviderResponse<'_>, now_unix_ms: u64) -> Signals {
    let mut headers = Headers::select(response.headers, now_unix_ms);
    let body = Body::read(response.body);
    let remaining = match provider {
        Provider::OpenAi | Provider::AzureOpenAi => openai::remaining(&mut headers),
        Provider::Anthropic => anthropic::remaining(&mut headers),
        Provider::Gemini => Vec::new(),
        Provider::Other => generic::remaining(&mut headers),
    };
    let mut said = verdict::Said::of_status(response.status);
    match provider {
        Provider::OpenAi => openai::judge(&body, &mut said),
        Provider::AzureOpenAi => azure_openai::judge(response.status, &body, &mut said),
        Provider::Anthropic => anthropic::judge(&body, &mut said),
        Provider::Gemini => gemini::judge(&body, now_unix_ms, &mut said),
        Provider::Other => generic::judge(&body, &mut said),
    }
    let verdict = said.verdict(&mut headers, &remaining);
    Signals { verdict, remaining, ignored: headers.ignored.saturating_add(said.ignored) }
}
