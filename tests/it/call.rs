//! The guarded call.

mod abort;
mod breakers;
mod exits;
mod extremes;
mod hooks;
mod host;
mod hostile;
mod layer;
mod money;
mod nested;
mod reports;
mod retries;
mod running;
mod signals;
