//! The one test crate: a file per feature.

mod conformance;
mod differential;
mod embedding;
mod support;
mod tidy;
mod waiting;
