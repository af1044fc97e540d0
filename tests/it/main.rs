//! The one test crate: a file per feature.

#[cfg(feature = "server")]
mod http;
mod support;
mod tidy;
