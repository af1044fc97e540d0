//! The one test crate: a file per feature.

mod extremes;
mod races;
mod ractor_facts;
mod supervision;
mod support;
mod tidy;
