//! How late the machine is: what a timer of its own has to wait, and what the system says that threads had to.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tollgate::clock::Clock;
use tollgate::policy::Moment;

/// Between two looks.
const STEP: Duration = Duration::from_millis(5);

/// Of the timers.
const PRECISION: Duration = Duration::from_millis(2);

/// What was seen at a look.
#[derive(Clone, Copy, Default)]
struct Look {
    at: Moment,
    /// How late the timers were, altogether.
    late: Duration,
    /// How long threads of this process were ready to run and did not, altogether.
    ready: Duration,
}

/// Looks until it is dropped, in a runtime of its own, which only the machine can hold up.
pub(crate) struct Control {
    looks: Arc<Mutex<Vec<Look>>>,
    runtime: Option<Runtime>,
}

impl Control {
    pub(crate) fn start(clock: &Clock) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let mut waits = Waits::default();
        // What threads waited before counts for nobody.
        let looks = Arc::new(Mutex::new(vec![Look { ready: waits.look(), ..Look::default() }]));
        let (clock, seen) = (clock.clone(), Arc::clone(&looks));
        runtime.spawn(async move {
            let mut late = Duration::ZERO;
            loop {
                let due = clock.now().after(STEP);
                tokio::time::sleep_until(clock.instant_of(due)).await;
                let at = clock.now();
                late += at.since(due).saturating_sub(PRECISION);
                lock(&seen).push(Look { at, late, ready: waits.look() });
            }
        });
        Self { looks, runtime: Some(runtime) }
    }

    /// How long the machine may have held up what went on between two moments.
    pub(crate) fn lateness(&self, from: Moment, to: Moment) -> Duration {
        let (first, last) = self.around(from, to);
        (last.late - first.late).max(last.ready.saturating_sub(first.ready))
    }

    /// How long it stood still between them.
    #[cfg(feature = "tigerbeetle")]
    pub(crate) fn standstill(&self, from: Moment, to: Moment) -> Duration {
        let (first, last) = self.around(from, to);
        last.late - first.late
    }

    fn around(&self, from: Moment, to: Moment) -> (Look, Look) {
        let looks = lock(&self.looks);
        let first = looks.partition_point(|look| look.at <= from).saturating_sub(1);
        let last = looks.partition_point(|look| look.at < to).min(looks.len() - 1);
        (looks[first], looks[last])
    }
}

fn lock(looks: &Mutex<Vec<Look>>) -> MutexGuard<'_, Vec<Look>> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long threads were ready to run and did not. What a thread waited counts after its end too: the sum never falls.
#[derive(Default)]
struct Waits {
    total: Duration,
    /// Of each thread, in nanoseconds, when it was last seen.
    by_thread: HashMap<OsString, u64>,
}

impl Waits {
    /// The sum so far, as Linux counts it, thread by thread; nothing elsewhere.
    fn look(&mut self) -> Duration {
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
        for thread in threads.flatten() {
            let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let Some(Ok(waited_ns)) = text.split_whitespace().nth(1).map(str::parse::<u64>) else { continue };
            let before_ns = self.by_thread.insert(thread.file_name(), waited_ns).unwrap_or(0);
            // A number that fell is that of a new thread under an id of before.
            self.total += Duration::from_nanos(waited_ns.checked_sub(before_ns).unwrap_or(waited_ns));
        }
        self.total
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
