//! The jobs of a scheduler: which one is tried next, and what becomes of each. There is a queue for each model of each
//! provider; queues that are ready take turns, and one that was refused waits alone. Inside a queue priorities go first
//! as they do in a [`Line`](super::Line), and tenants take turns.

mod bounds;
mod class;
mod job;
mod jobs;
mod machine;
mod queue;
mod queues;
mod step;

pub use bounds::{ScheduleBounds, ScheduleFull};
pub use job::{JobSpec, Scheduled, Upstream};
pub use machine::Schedule;
pub use step::{Cancelled, Deferral, Deferred, Ended, Held, QueueView, Step, Turn};

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "properties_tests.rs"]
mod properties_tests;
