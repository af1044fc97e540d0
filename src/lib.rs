//! Tollgate stands between an LLM agent host and the providers it calls. Before a call the host *reserves* what the
//! call may use, on every limit it touches, all or nothing; after the call it *completes* with what was really used.
//! Who does not fit waits in a fair, bounded line. It runs inside a Rust host as a tree of supervised actors, or as a
//! server.
//!
//! ```
//! use std::time::Duration;
//! use tollgate::policy::{DefinitionFields, Reserve};
//! use tollgate::{Tollgate, Wait};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let per_minute = DefinitionFields {
//!     key: "openai:gpt-4o:tpm".into(),
//!     kind: "rolling".into(),
//!     capacity: 1_000,
//!     window_seconds: Some(60),
//!     ..Default::default()
//! };
//! let at_once = DefinitionFields {
//!     key: "openai:gpt-4o:concurrency".into(),
//!     kind: "concurrency".into(),
//!     capacity: 1,
//!     timeout_seconds: Some(120),
//!     ..Default::default()
//! };
//! let tollgate = Tollgate::builder().limit_fields(per_minute).limit_fields(at_once).start().await?;
//!
//! // All or nothing, over both limits.
//! let call = || Reserve::of([("openai:gpt-4o:tpm", 600), ("openai:gpt-4o:concurrency", 1)]);
//! let lease = tollgate.reserve(call()?).await?;
//!
//! // A second one does not fit, and says when to come back.
//! let refusal = tollgate.reserve(call()?).await.expect_err("both limits are taken");
//! assert_eq!(refusal.denied.len(), 2);
//!
//! // The call used less than it reserved: the rest is free at once, and a waiting call is let in.
//! let waiting = tokio::spawn({
//!     let (tollgate, call) = (tollgate.clone(), call()?);
//!     async move { tollgate.acquire(call, Wait::at_most(Duration::from_secs(5))).await }
//! });
//! lease.complete_with([("openai:gpt-4o:tpm", 212)]).await?;
//! let next = waiting.await??;
//!
//! drop(next); // Without a completion its concurrency is released and its tokens stay charged.
//! tollgate.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Code map, in reading order
//!
//! - [`policy`]: what limits, leases, lines and supervisors decide. Pure: time is an argument.
//! - [`backends`]: the contract of a ledger, and the one in memory.
//! - [`actors`]: the tree of supervised actors, and the shared state that outlives them.
//! - [`tollgate`]: the handle a host holds.
//! - [`call`]: the guarded call, as a function, as hooks, as a layer of `tower`.
//! - [`client`]: what a host holds that does not care where its Tollgate runs.
//! - [`scheduler`]: jobs that wait for their turn, reserve, run and complete.
//! - [`config`]: TOML and environment variables, checked.
//! - `api`, `cli`: the HTTP face and the command line, with the feature `server`; `load` is what `tollgate load` runs.
//! - [`clock`]: the only place that reads clocks.

pub mod policy;

pub mod backends;

pub mod actors;

pub mod tollgate;

pub mod call;

pub mod client;

pub mod scheduler;

pub mod config;

#[cfg(feature = "server")]
pub mod api;

#[cfg(feature = "server")]
mod load;

#[cfg(feature = "server")]
pub mod cli;

pub mod clock;

pub use actors::{BreakersFull, Wait};
pub use call::{CallContext, CallError, CallSpec, RetryPolicy};
pub use policy::BreakerOpen;
pub use tollgate::{Breaker, Lease, Permit, Tollgate};
