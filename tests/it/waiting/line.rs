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

use crate::support::{checked, key, pattern, request, sleep_ms};

/// Long enough for everybody.
pub(super) const LONG: Duration = Duration::from_secs(100_000);

/// A tollgate, and who was served.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) tollgate: Tollgate,
    served: Arc<Mutex<Vec<(String, u64)>>>,
    start: Instant,
}

/// A caller in a task of its own.
pub(super) type Caller = JoinHandle<Result<Lease, Box<Refusal>>>;

impl Line {
    pub(super) async fn of(limits: impl IntoIterator<Item = DefinitionFields>) -> Self {
        Self::with(limits, Settings::default()).await
    }

    pub(super) async fn with(limits: impl IntoIterator<Item = DefinitionFields>, settings: Settings) -> Self {
        let builder = limits.into_iter().fold(Tollgate::builder().settings(settings), |b, l| b.limit_fields(l));
        let tollgate = builder.start().await.expect("it starts");
        // Whole milliseconds, where timers fire.
        Self { tollgate, served: Arc::default(), start: now() }
    }

    /// Reserves what must fit.
    pub(super) async fn hold(&self, requirements: &[(&str, u64)]) -> Lease {
        self.tollgate.reserve(request(requirements)).await.expect("it fits")
    }

    /// Lets a caller join, and gives it time to stand in its line. Served, it is noted under `name`, and keeps its lease.
    pub(super) async fn join(&self, name: &str, requirements: &[(&str, u64)]) -> Caller {
        self.join_as(name, request(requirements), Wait::at_most(LONG)).await
    }

    /// The same with another priority.
    pub(super) async fn join_with(&self, name: &str, priority: Priority, requirements: &[(&str, u64)]) -> Caller {
        self.join_as(name, request(requirements), Wait::at_most(LONG).with_priority(priority)).await
    }

    pub(super) async fn join_as(&self, name: &str, request: Reserve, wait: Wait) -> Caller {
        let (line, name) = (self.clone(), name.to_owned());
        let caller = tokio::spawn(async move {
            let answer = line.tollgate.acquire(request, wait).await;
            if answer.is_ok() {
                line.served.lock().expect("only pushes").push((name, line.elapsed_ms()));
            }
            answer
        });
        settled().await;
        caller
    }

    /// Milliseconds since the start.
    pub(super) fn elapsed_ms(&self) -> u64 {
        now().duration_since(self.start).as_millis() as u64
    }

    /// Who was served until now, in order.
    pub(super) fn served(&self) -> Vec<String> {
        self.served.lock().expect("only pushes").iter().map(|(name, _)| name.clone()).collect()
    }

    /// The same, with the millisecond.
    pub(super) fn served_at(&self) -> Vec<(String, u64)> {
        self.served.lock().expect("only pushes").clone()
    }

    pub(super) async fn put(&self, fields: DefinitionFields) {
        self.tollgate.put_limit(checked(fields)).await.expect("accepted");
        settled().await;
    }

    pub(super) async fn delete(&self, text: &str) {
        self.tollgate.delete_limit(&pattern(text)).await.expect("accepted");
        settled().await;
    }

    pub(super) async fn available(&self, text: &str) -> u64 {
        let usage = self.tollgate.usage(&key(text)).await.expect("it answers").expect("a limit with this key");
        usage.usage.available
    }

    pub(super) async fn waiters(&self, text: &str) -> usize {
        self.tollgate.usage(&key(text)).await.expect("it answers").map_or(0, |usage| usage.waiters)
    }

    /// Nobody waits, and no lease is live.
    pub(super) fn assert_nothing_left(&self) {
        assert_eq!((self.tollgate.waiting(), self.tollgate.totals().live_leases), (0, 0));
    }
}

/// Lets every task do what it can do without time passing.
pub(super) async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Completes a lease and lets the line move.
pub(super) async fn end(lease: Lease) {
    lease.complete_with([]).await.expect("completed");
    settled().await;
}

/// The lease that a caller got.
pub(super) async fn got(caller: Caller) -> Lease {
    caller.await.expect("it did not panic").expect("it was granted")
}

/// The refusal that a caller got.
pub(super) async fn refusal(caller: Caller) -> Refusal {
    *caller.await.expect("it did not panic").expect_err("it was refused")
}

/// Until `ms` after the start.
pub(super) async fn until(line: &Line, ms: u64) {
    sleep_ms(ms - line.elapsed_ms()).await;
    settled().await;
}

#[expect(clippy::disallowed_methods, reason = "tests measure the time that the runtime lets pass")]
fn now() -> Instant {
    Instant::now()
}
