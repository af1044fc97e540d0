//! Makes load on limits, wherever they are, and judges what they admit.
//!
//! [`Plan`] says how, [`Workload`] on which limits; [`run`] has callers make one call after the other (`worker`), or
//! by a schedule (`open_loop`), and sums up what they saw (`tally`, `report`). With a history, `audit` holds each grant
//! against what its limits promise, by the algorithm of `verify`.

mod audit;
mod errors;
mod history;
mod listing;
mod metered;
mod open_loop;
mod own_timer;
mod parts;
mod plan;
mod progress;
mod report;
mod tally;
mod verify;
mod worker;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use audit::Audit;
pub(crate) use listing::{Listed, read_listing};
pub(crate) use metered::{BatchSizes, Metered};
pub(crate) use plan::{Plan, PlanFields};
pub(crate) use report::Report;
pub(crate) use workload::{Reach, Unloadable, Workload};

use self::history::Admitted;
use self::open_loop::Schedule;
use self::plan::Pace;
use self::report::{Batches, Latency, Starts, per_second};
use self::tally::{Lane, read};
use self::worker::{Caller, Shared};
use crate::client::Limiter;
use crate::clock::Clock;

/// As many callers share one limiter: it keeps so many connections open.
pub(crate) const CALLERS_PER_LIMITER: usize = 64;

/// A load that has ended.
pub(crate) struct Finished {
    shared: Arc<Shared>,
    took: Duration,
    is_cut_short: bool,
    own_timer: Histogram<u64>,
}

/// Makes the load, until its time is over or `stop` ends; calls that were begun go on to their ends. `limiters` are
/// given to the callers in turn.
pub(crate) async fn run(
    plan: Plan,
    workload: Workload,
    limiters: &[Arc<dyn Limiter>],
    shows_progress: bool,
    stop: impl Future<Output = ()>,
) -> Finished {
    let shared = Arc::new(Shared::new(plan, workload, Clock::start()));
    let (tell_stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for (number, limiter) in (0..plan.concurrency).zip(limiters.iter().cycle()) {
        let caller = Caller::new(Arc::clone(&shared), Arc::clone(limiter), number, stopped.clone());
        match plan.pace {
            Pace::Closed => callers.spawn(caller.run()),
            Pace::Open { per_second } => callers.spawn(open_loop::run(caller, Schedule::new(shared.begin, per_second))),
        };
    }
    let own_timer = tokio::spawn(own_timer::lateness(shared.clock.clone(), stopped));
    let mut progress = JoinSet::new();
    if shows_progress {
        progress.spawn(progress::show(Arc::clone(&shared)));
    }
    let is_cut_short = tokio::select! {
        () = all(&mut callers) => false,
        () = stop => true,
    };
    let ran = shared.clock.now().since(shared.begin);
    tell_stop.send_replace(true);
    all(&mut callers).await;
    progress.shutdown().await;
    // Calls that end after the last has begun are counted, so their time is too.
    let took = if is_cut_short { ran } else { shared.clock.now().since(shared.begin) };
    let own_timer = own_timer.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    Finished { shared, took, is_cut_short, own_timer }
}

/// Waits for all of them; a panic goes on here.
async fn all(callers: &mut JoinSet<()>) {
    while let Some(ended) = callers.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Finished {
    /// All figures, but for what only the server knows and what a check finds.
    pub(crate) fn report(&self, mode: &'static str, backend: String, sizes: &BatchSizes) -> Report {
        let Self { shared, took, is_cut_short, own_timer } = self;
        let mut sum = Lane::new();
        shared.lanes().for_each(|lane| sum.add(&lane));
        let [allowed, denied] = [&shared.counts.allowed, &shared.counts.denied].map(read);
        Report {
            mode,
            backend,
            seconds: took.as_secs_f64(),
            is_cut_short: *is_cut_short,
            concurrency: shared.plan.concurrency,
            providers: shared.workload.providers(),
            batch_size: shared.plan.batch_size,
            schedule: self.starts(),
            reserves: sum.reserve.len(),
            reserves_per_second: per_second(sum.reserve.len(), *took),
            allowed,
            denied,
            errors: sum.errors.list(shared.begin),
            http_5xx: None,
            reserve: Latency::of(&sum.reserve),
            complete: Latency::of(&sum.complete),
            own_timer: Latency::of(own_timer),
            batches: Batches::of(&sizes.read()),
            verify: None,
        }
    }

    /// Holds every grant against its limits, as they were before and are `after`, if that can be told.
    pub(crate) fn audit(&self, after: Option<&[Listed]>) -> Audit {
        let shared = &self.shared;
        let admitted: Vec<Admitted> = shared.lanes().flat_map(|mut lane| std::mem::take(&mut lane.admitted)).collect();
        let audit = audit::audit(&shared.workload, after, &admitted, shared.begin);
        Audit { reserves_unrecorded: read(&shared.counts.unrecorded), ..audit }
    }

    fn starts(&self) -> Option<Starts> {
        let Pace::Open { per_second } = self.shared.plan.pace else { return None };
        let due = Schedule::new(self.shared.begin, per_second).starts_within(self.took.min(self.shared.plan.duration));
        let made = read(&self.shared.started);
        Some(Starts { per_second: per_second.get(), made, missed: due.saturating_sub(made) })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
