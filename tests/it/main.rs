//! The one test crate: a file per feature.

#[cfg(feature = "server")]
mod cli;
#[cfg(feature = "server")]
mod process;
mod ractor_facts;
mod registry;
mod supervision;
mod support;
mod tidy;
