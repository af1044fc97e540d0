//! The HTTP face: JSON in and out, one file per resource, one map of errors. It sees the handle of the runtime only.

mod access;
mod acquire;
mod admin_breakers;
mod admin_limits;
mod batch;
mod body;
mod breakers;
mod complete;
mod decision;
mod exposition;
mod gate;
mod leases;
mod limits;
mod metrics;
mod object;
mod outcome;
mod pages;
mod paging;
mod peek;
mod problem;
mod request_id;
mod reserve;
mod router;
mod server;
mod state;
mod status;
mod traffic;
mod wire;

pub use router::router;
pub(crate) use server::run;
pub use state::{ApiState, ServeOptions};
