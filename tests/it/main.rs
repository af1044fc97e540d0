//! The one test crate: a file per feature.

mod support;
mod tidy;
