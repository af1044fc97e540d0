//! How late the machine is: what a timer of its own has to wait, and what the system says that threads had to.

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
pub(super) struct Control {
    looks: Arc<Mutex<Vec<Look>>>,
    runtime: Option<Runtime>,
}

impl Control {
    pub(super) fn start(clock: &Clock) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let looks = Arc::new(Mutex::new(vec![Look::default()]));
        let (clock, seen) = (clock.clone(), Arc::clone(&looks));
        runtime.spawn(async move {
            let mut late = Duration::ZERO;
            loop {
                let due = clock.now().after(STEP);
                tokio::time::sleep_until(clock.instant_of(due)).await;
                let at = clock.now();
                late += at.since(due).saturating_sub(PRECISION);
                lock(&seen).push(Look { at, late, ready: ready() });
            }
        });
        Self { looks, runtime: Some(runtime) }
    }

    /// How long the machine may have held up what went on between two moments.
    pub(super) fn lateness(&self, from: Moment, to: Moment) -> Duration {
        let (first, last) = self.around(from, to);
        (last.late - first.late).max(last.ready.saturating_sub(first.ready))
    }

    /// How long it stood still between them.
    pub(super) fn standstill(&self, from: Moment, to: Moment) -> Duration {
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

/// As Linux counts it, thread by thread; nothing elsewhere.
fn ready() -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let waited_ns = |text: String| text.split_whitespace().nth(1)?.parse::<u64>().ok();
    let texts = threads.flatten().flat_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")));
    Duration::from_nanos(texts.filter_map(waited_ns).sum())
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
