//! How late timers are: those of the session cannot be better than any others of the same runtime.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::clock::Clock;
use tollgate::policy::Moment;

/// As many as the runtime has threads, and some more.
const TIMERS: usize = 4;

/// A time at which a timer was due, and how much later it ran.
struct Late {
    due: Moment,
    by: Duration,
}

/// Timers that run until it is dropped.
pub(super) struct Control {
    seen: Arc<Mutex<Vec<Late>>>,
    _timers: JoinSet<()>,
}

impl Control {
    pub(super) fn start(clock: &Clock) -> Self {
        let seen = Arc::<Mutex<Vec<Late>>>::default();
        let mut timers = JoinSet::new();
        for _ in 0..TIMERS {
            let (clock, seen) = (clock.clone(), Arc::clone(&seen));
            timers.spawn(async move {
                loop {
                    let due = clock.now().after(Duration::from_millis(2));
                    tokio::time::sleep_until(clock.instant_of(due)).await;
                    let by = clock.now().since(due);
                    seen.lock().expect("no panic").push(Late { due, by });
                }
            });
        }
        Self { seen, _timers: timers }
    }

    /// The most that a timer was late between two moments.
    pub(super) fn lateness(&self, from: Moment, to: Moment) -> Duration {
        let seen = self.seen.lock().expect("no panic");
        let between = seen.iter().filter(|late| late.due <= to && from <= late.due.after(late.by));
        between.map(|late| late.by).max().unwrap_or_default()
    }
}
