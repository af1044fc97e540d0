//! The one test crate: a file per feature.

#[cfg(feature = "server")]
mod agent_host;
mod breakers;
mod call;
#[cfg(feature = "server")]
mod cli;
mod client;
mod conformance;
mod differential;
mod embedding;
mod extremes;
mod finishing;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod load;
#[cfg(feature = "server")]
mod process;
mod races;
mod ractor_facts;
#[cfg(feature = "server")]
mod readme;
mod registry;
mod remote;
mod scheduler;
mod supervision;
mod support;
mod tidy;
#[cfg(feature = "tigerbeetle")]
mod tigerbeetle;
mod waiting;
