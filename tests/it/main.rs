//! The one test crate: a file per feature.

mod conformance;
mod support;
mod tidy;
mod waiting;
