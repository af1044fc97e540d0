//! The scheduler: jobs wait in a queue for each model of each provider, reserve what they need, run, and give back what
//! they did not use. A provider that has no room holds up nobody else's jobs.
//!
//! ```
//! use std::sync::Arc;
//! use tollgate::client::NoopLimiter;
//! use tollgate::policy::{Amounts, Key, Reserve, Upstream};
//! use tollgate::scheduler::{ExecuteError, Executed, Job, Run, Scheduler};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scheduler = Scheduler::builder(Arc::new(NoopLimiter::new())).start().await?;
//! let needs = Reserve::of([("openai:gpt-4o:tpm", 600)])?.amounts;
//! let call = |run: Run| async move {
//!     // Here the provider is called, within `run.time_left()`.
//!     let tokens = Key::parse("openai:gpt-4o:tpm").expect("a good key");
//!     let used = Amounts::used([(tokens, 212)]).expect("one key");
//!     Ok::<_, ExecuteError>(Executed::new(format!("lease {}", run.lease_id)).used(used))
//! };
//! let job = Job::new(Upstream::parse("openai", "gpt-4o")?, needs, call);
//! let answer = scheduler.submit(job)?.await?;
//! assert!(answer.starts_with("lease"));
//! # Ok(())
//! # }
//! ```

mod attempt;
mod builder;
mod dispatcher;
mod execute;
mod handle;
mod job;
mod job_handle;
mod observer;
mod report;
mod shared;
mod supervisor;
mod task;

pub use builder::{SchedulerBuilder, SchedulerStartError};
pub use dispatcher::DispatcherMessage;
pub use execute::{Execute, ExecuteError, Executed, Run};
pub use handle::{Scheduler, SubmitError};
pub use job::Job;
pub use job_handle::{JobError, JobHandle};
pub use observer::{JobEvent, SchedulerObserver};
pub use report::{SchedulerStatus, SchedulerTotals, ShutdownReport};
