//! Callers that reserve and complete without a pause, and what became of each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tollgate::Tollgate;
use tollgate::clock::Clock;
use tollgate::policy::{Moment, Reason};

use super::DEADLINE;
use crate::support::control::Control;
use crate::support::{request, sleep_ms, used, within};

/// What a call may take beyond the deadline and the lateness of the machine.
const SLACK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Granted,
    /// There was no room.
    Denied,
    /// The ledger did not say.
    Unavailable,
}

/// What a group of callers does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) callers: usize,
    pub(super) requirements: &'static [(&'static str, u64)],
    /// How long each call takes that was let through.
    pub(super) work_ms: u64,
}

/// One reservation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) ending: Ending,
    pub(super) group: usize,
    /// When the completion of what was granted began and ended.
    completed: Option<(Moment, Moment)>,
}

/// Grants in the hands of callers.
#[derive(Default)]
struct Held {
    now: AtomicU64,
    most: AtomicU64,
}

/// Callers at work.
pub(super) struct Traffic {
    clock: Clock,
    control: Control,
    is_over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<Asked>>>,
    held: Vec<Arc<Held>>,
}

/// One of them.
struct Caller {
    tollgate: Tollgate,
    clock: Clock,
    is_over: Arc<AtomicBool>,
    group: (usize, Group),
    held: Arc<Held>,
}

impl Traffic {
    pub(super) fn start(tollgate: &Tollgate, groups: &[Group]) -> Self {
        let clock = Clock::start();
        let control = Control::start(&clock);
        let is_over = Arc::<AtomicBool>::default();
        let held: Vec<Arc<Held>> = groups.iter().map(|_| Arc::default()).collect();
        let mut callers = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            callers.extend((0..group.callers).map(|_| {
                let caller = Caller {
                    tollgate: tollgate.clone(),
                    clock: clock.clone(),
                    is_over: Arc::clone(&is_over),
                    group: (at, *group),
                    held: Arc::clone(&held[at]),
                };
                tokio::spawn(caller.call())
            }));
        }
        Self { clock, control, is_over, callers, held }
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Ends it: each call must have ended in time.
    pub(super) async fn finish(self) -> History {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for caller in self.callers {
            all.extend(within(10, caller).await.expect("no panic"));
        }
        all.sort_by_key(|asked: &Asked| asked.ended);
        let reserved = all.iter().map(|asked| (asked.began, asked.ended, *asked));
        let completed = all.iter().filter_map(|asked| asked.completed.map(|(began, ended)| (began, ended, *asked)));
        let overshoot = reserved.chain(completed).map(|(began, ended, asked)| {
            let over = ended.since(began).saturating_sub(DEADLINE);
            let excuse = if SLACK < over { self.control.lateness(began, ended) } else { Duration::ZERO };
            (over.saturating_sub(excuse), over, asked)
        });
        let worst = overshoot.max_by_key(|(overshoot, ..)| *overshoot).expect("somebody asked");
        let most_held = self.held.iter().map(|held| held.most.load(Ordering::Relaxed)).collect();
        History { all, worst, most_held, control: self.control }
    }
}

impl Caller {
    async fn call(self) -> Vec<Asked> {
        let mut all = Vec::new();
        let (group, Group { requirements, work_ms, .. }) = self.group;
        let nothing: Vec<_> = requirements.iter().map(|(text, _)| (*text, 0)).collect();
        while !self.is_over.load(Ordering::Relaxed) {
            let request = request(requirements);
            let began = self.clock.now();
            let reserved = self.tollgate.reserve(request).await;
            let ended = self.clock.now();
            let ending = match &reserved {
                Ok(_) => Ending::Granted,
                Err(refusal) => match refusal.reason {
                    Reason::Denied => Ending::Denied,
                    Reason::BackendError(_) => Ending::Unavailable,
                    _ => panic!("{refusal}"),
                },
            };
            let mut asked = Asked { began, ended, ending, group, completed: None };
            let Ok(lease) = reserved else {
                all.push(asked);
                sleep_ms(2).await; // Else it would ask millions of times.
                continue;
            };
            let held = self.held.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.held.most.fetch_max(held, Ordering::SeqCst);
            sleep_ms(work_ms).await;
            self.held.now.fetch_sub(1, Ordering::SeqCst);
            // Nothing was used. Whoever gets no answer may go: the end of a lease goes on by itself.
            let began = self.clock.now();
            let _ = lease.complete(used(&nothing)).await;
            asked.completed = Some((began, self.clock.now()));
            all.push(asked);
        }
        all
    }
}

/// All reservations, in the order of their ends.
pub(super) struct History {
    all: Vec<Asked>,
    /// What was latest: beyond the deadline and the lateness of the machine, and beyond the deadline alone.
    worst: (Duration, Duration, Asked),
    most_held: Vec<u64>,
    control: Control,
}

impl History {
    /// Each was answered in time.
    #[track_caller]
    pub(super) fn check_deadlines(&self) {
        let (overshoot, over, asked) = &self.worst;
        println!("{} reservations, at most {over:?} beyond the deadline", self.all.len());
        assert!(*overshoot <= SLACK, "{overshoot:?} beyond the deadline and what the machine was late: {asked:?}");
    }

    pub(super) fn count(&self, group: usize, ending: Ending) -> usize {
        self.all.iter().filter(|asked| (asked.group, asked.ending) == (group, ending)).count()
    }

    /// Those that began and ended between two moments.
    pub(super) fn between(&self, from: Moment, to: Moment) -> impl Iterator<Item = &Asked> {
        self.all.iter().filter(move |asked| from <= asked.began && asked.ended <= to)
    }

    /// The most grants that callers of a group had at once.
    pub(super) fn most_held(&self, group: usize) -> u64 {
        self.most_held[group]
    }

    /// How long after `moment` the ledger decided the first reservation of `group` that began after it, beside how long
    /// the machine stood still.
    pub(super) fn recovery_after(&self, moment: Moment, group: usize) -> Duration {
        let decided =
            |asked: &&Asked| moment <= asked.began && asked.group == group && asked.ending != Ending::Unavailable;
        let first = self.all.iter().find(decided).expect("it came back");
        let (took, standstill) = (first.ended.since(moment), self.control.standstill(moment, first.ended));
        println!("decisions of the ledger after {took:?}, of which the machine stood still for {standstill:?}");
        took.saturating_sub(standstill)
    }
}
