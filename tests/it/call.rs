//! The guarded call.

mod abort;
mod breakers;
mod exits;
mod hooks;
mod host;
mod layer;
mod money;
mod reports;
mod retries;
mod running;
mod signals;
