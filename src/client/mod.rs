//! What a host holds to reserve and complete, wherever its Tollgate runs: [`Limiter`] and those who keep it.

mod batcher;
mod connect;
mod giving_back;
#[cfg(feature = "http-client")]
mod http;
mod limiter;
mod local;
mod noop;
mod renewing;
mod requirements;
mod reserve_until;
mod settings;
#[cfg(feature = "tokenizer")]
mod tokenizer;

#[cfg(test)]
mod tests;

pub use batcher::Batcher;
pub use connect::{Client, ConnectError, connect};
#[cfg(feature = "http-client")]
pub use http::HttpLimiter;
pub use limiter::{Attempt, Completion, Limiter};
pub use local::LocalLimiter;
pub use noop::NoopLimiter;
pub(crate) use renewing::keep_renewed;
pub use requirements::{LlmCall, PromptBytes, PromptEstimator, llm_actuals, llm_requirements};
pub use reserve_until::{acquire_until, reserve_until};
pub use settings::{
    BaseUrl, BatchSettings, ClientMode, ClientSettings, EmbeddedSettings, LimitsSource, RemoteSettings,
};
#[cfg(feature = "tokenizer")]
pub use tokenizer::PromptTokens;
