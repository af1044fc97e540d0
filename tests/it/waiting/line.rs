//! A tollgate with callers who wait, and the order in which they are served.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use tollgate::Tollgate;
use tollgate::actors::Wait;
use tollgate::config::Settings;
use tollgate::policy::{DefinitionFields, Priority, Refusal, Reserve};
use tollgate::tollgate::Lease;

use crate::support::differences::Differences;
use crate::support::place::Place;
use crate::support::{checked, key, pattern, request, sleep_ms, until};

/// Long enough for everybody.
pub(super) const LONG: Duration = Duration::from_secs(100_000);

/// A tollgate, and who was served.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) tollgate: Tollgate,
    place: Arc<Place>,
    served: Arc<Mutex<Vec<Served>>>,
    start: Instant,
}

/// Who was served.
struct Served {
    name: String,
    after_ms: u64,
    /// By the time of a ledger elsewhere, with which tasks on several threads come by in any order.
    granted_unix_ms: u64,
}

/// A caller in a task of its own.
pub(super) type Caller = JoinHandle<Result<Lease, Box<Refusal>>>;

impl Line {
    pub(super) async fn of(place: Place, limits: impl IntoIterator<Item = DefinitionFields>) -> Self {
        Self::with(place, limits, |settings| settings).await
    }

    pub(super) async fn with(
        place: Place,
        limits: impl IntoIterator<Item = DefinitionFields>,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let builder = Tollgate::builder().settings(change(place.settings()));
        let builder = limits.into_iter().fold(builder, |builder, limit| builder.limit_fields(limit));
        let tollgate = builder.start().await.expect("it starts");
        // Whole milliseconds, where timers fire.
        Self { tollgate, place: Arc::new(place), served: Arc::default(), start: now() }
    }

    pub(super) fn differs(&self) -> &Differences {
        &self.place.differs
    }

    /// Reserves what must fit.
    pub(super) async fn hold(&self, requirements: &[(&str, u64)]) -> Lease {
        self.tollgate.reserve(request(requirements)).await.expect("it fits")
    }

    /// Lets a caller join, and gives it time to stand in its line. Served, it is noted under `name`, and keeps its
    /// lease.
    pub(super) async fn join(&self, name: &str, requirements: &[(&str, u64)]) -> Caller {
        self.join_as(name, request(requirements), Wait::at_most(LONG)).await
    }

    /// The same with another priority.
    pub(super) async fn join_with(&self, name: &str, priority: Priority, requirements: &[(&str, u64)]) -> Caller {
        self.join_as(name, request(requirements), Wait::at_most(LONG).with_priority(priority)).await
    }

    pub(super) async fn join_as(&self, name: &str, request: Reserve, wait: Wait) -> Caller {
        // Who was in line before and is served meanwhile counts in both.
        let come = || self.tollgate.waiting() + self.served().len();
        let (line, name, came) = (self.clone(), name.to_owned(), come());
        let caller = tokio::spawn(async move {
            let answer = line.tollgate.acquire(request, wait).await;
            if let Ok(lease) = &answer {
                let (after_ms, granted_unix_ms) = (line.elapsed_ms(), lease.reserved_at_unix_ms());
                line.served.lock().expect("only pushes").push(Served { name, after_ms, granted_unix_ms });
            }
            answer
        });
        if self.differs().is_exact() {
            self.settled().await;
        } else {
            until(20, "the caller stands in its line", async || came < come() || caller.is_finished()).await;
        }
        caller
    }

    /// Milliseconds since the start.
    pub(super) fn elapsed_ms(&self) -> u64 {
        now().duration_since(self.start).as_millis() as u64
    }

    /// Who was served until now, in order.
    pub(super) fn served(&self) -> Vec<String> {
        self.served_after().into_iter().map(|(name, _)| name).collect()
    }

    /// The same, and after how many milliseconds.
    fn served_after(&self) -> Vec<(String, u64)> {
        let mut served = self.served.lock().expect("only pushes");
        if !self.differs().is_exact() {
            served.sort_by_key(|served| served.granted_unix_ms);
        }
        served.iter().map(|served| (served.name.clone(), served.after_ms)).collect()
    }

    /// Asserts that nobody was served until now.
    #[track_caller]
    pub(super) fn assert_none_served(&self) {
        assert_eq!(self.served(), Vec::<String>::new());
    }

    /// Asserts who was served until now, and how many milliseconds after the start. In real time it waits for them.
    #[track_caller]
    pub(super) fn assert_served<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> impl Future<Output = ()> {
        self.assert_served_by_steps_of(0, wanted)
    }

    /// The same for who waited for buckets, which may refill in steps of so many milliseconds.
    #[track_caller]
    pub(super) fn assert_served_by_steps_of<'a>(
        &self,
        step_ms: u64,
        wanted: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> impl Future<Output = ()> {
        let wanted: Vec<_> = wanted.into_iter().map(|(name, ms)| (name.to_owned(), ms)).collect();
        let what = format!("{}: {wanted:?} are served", std::panic::Location::caller());
        async move {
            if !self.differs().is_exact() {
                until(10, &what, async || wanted.len() <= self.served().len()).await;
            }
            self.check_served(step_ms, wanted, &what);
        }
    }

    fn check_served(&self, step_ms: u64, mut wanted: Vec<(String, u64)>, what: &str) {
        let mut served = self.served_after();
        if !self.differs().is_exact() {
            // Those who are served at once are noted as their tasks come by.
            served.sort();
            wanted.sort();
        }
        let names = |all: &[(String, u64)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&served), names(&wanted), "{what}");
        for ((name, ms), (_, due_ms)) in served.iter().zip(wanted) {
            let range = due_ms.saturating_sub(step_ms)..=due_ms + step_ms + self.late_ms();
            let session = self.tollgate.status().backend.session;
            assert!(range.contains(ms), "{what}: {name} was served at {ms} ms, and not at {range:?}: {session:?}");
        }
    }

    /// Asserts that so many milliseconds have passed since the start.
    #[track_caller]
    pub(super) fn assert_elapsed(&self, ms: u64) {
        let (elapsed_ms, range) = (self.elapsed_ms(), ms..=ms + self.late_ms());
        assert!(range.contains(&elapsed_ms), "{elapsed_ms} ms have passed, and not {range:?}");
    }

    /// Forgets who was served until now.
    pub(super) fn forget_served(&self) {
        self.served.lock().expect("only pushes").clear();
    }

    /// How late what is counted from the start may be seen to have happened.
    pub(super) fn late_ms(&self) -> u64 {
        self.differs().answer_ms_max + self.differs().late_ms_max + self.differs().busy_ms_max
    }

    pub(super) async fn put(&self, fields: DefinitionFields) {
        self.tollgate.put_limit(checked(fields)).await.expect("accepted");
        give_turns().await;
    }

    pub(super) async fn delete(&self, text: &str) {
        self.tollgate.delete_limit(&pattern(text)).await.expect("accepted");
        give_turns().await;
    }

    /// Completes a lease and lets the line move.
    pub(super) async fn end(&self, lease: Lease) {
        lease.complete_with([]).await.expect("completed");
        self.settled().await;
    }

    /// Lets every task do what it can do now.
    pub(super) async fn settled(&self) {
        self.place.settled().await;
    }

    /// Waits for what is possible at once.
    pub(super) async fn soon(&self, what: &str, is_so: impl AsyncFnMut() -> bool) {
        self.place.soon(what, is_so).await;
    }

    /// The last moment at which what is due `ms` after the start can be seen not to have happened.
    pub(super) async fn just_before(&self, ms: u64) {
        self.until(ms - self.differs().answer_ms_max.max(1)).await;
        assert!(self.elapsed_ms() < ms, "it took longer than {ms} ms until now: is this machine busy?");
    }

    /// Until what is due `ms` after the start has happened.
    pub(super) async fn at(&self, ms: u64) {
        self.until(ms + self.differs().answer_ms_max + self.differs().late_ms_max).await;
    }

    async fn until(&self, ms: u64) {
        tokio::time::sleep_until(self.start + Duration::from_millis(ms)).await;
        give_turns().await;
    }

    pub(super) async fn available(&self, text: &str) -> u64 {
        let usage = self.tollgate.usage(&key(text)).await.expect("it answers").expect("a limit with this key");
        usage.usage.available
    }

    pub(super) async fn waiters(&self, text: &str) -> usize {
        self.tollgate.usage(&key(text)).await.expect("it answers").map_or(0, |usage| usage.waiters)
    }

    /// Nobody waits, and no lease is live.
    pub(super) async fn assert_nothing_left(&self) {
        // A call that was cut short may still be on its way, and so in no book yet.
        let session = || self.tollgate.status().backend.session;
        self.soon("every call is answered", async || session().is_none_or(|session| session.in_flight == 0)).await;
        self.settled().await;
        let left = || (self.tollgate.waiting(), self.tollgate.totals().live_leases);
        self.soon("nobody waits, and no lease is live", async || left() == (0, 0)).await;
    }

    /// Numbers of steps after which something may happen, such that it happens at every moment of a call: steps of the
    /// runtime where nothing else takes time, else parts of the time of round trips.
    pub(super) fn steps(&self) -> impl Iterator<Item = u64> + use<> {
        (0..25).step_by(if self.differs().is_exact() { 1 } else { 8 })
    }

    /// Waits for so many.
    pub(super) async fn step(&self, steps: u64) {
        if self.differs().is_exact() {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
        } else {
            sleep_ms(steps / 3).await;
        }
    }
}

/// Lets every task do what it can do without time passing.
async fn give_turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The lease that a caller got.
pub(super) async fn got(caller: Caller) -> Lease {
    caller.await.expect("it did not panic").expect("it was granted")
}

/// The refusal that a caller got.
pub(super) async fn refusal(caller: Caller) -> Refusal {
    *caller.await.expect("it did not panic").expect_err("it was refused")
}

#[expect(clippy::disallowed_methods, reason = "tests measure the time that the runtime lets pass")]
fn now() -> Instant {
    Instant::now()
}
