//! A host that makes guarded calls, and what it leaves behind.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use tollgate::call::{CallContext, CallSpec};
use tollgate::config::Settings;
use tollgate::policy::{BreakerName, BreakerView, DefinitionFields};
use tollgate::{CallError, Tollgate};

use crate::support::{bucket, concurrency, key, rolling};

/// What a call of these tests answers.
pub(super) type Answer = Result<&'static str, CallError<&'static str>>;

pub(super) const BREAKER: &str = "openai:gpt-4o";

/// A tollgate with one limit of each kind: `slots`, 2 at once for 60 s; `tokens`, 1 000 an hour; `calls`, a bucket of
/// 100 that refills once an hour.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) tollgate: Tollgate,
    start: Instant,
}

impl Host {
    pub(super) async fn start() -> Self {
        let limits = [concurrency("slots", 2, 60), rolling("tokens", 1_000, 3_600), bucket("calls", 100, 100, 3_600)];
        Self::with(limits, Settings::default()).await
    }

    pub(super) async fn with(limits: impl IntoIterator<Item = DefinitionFields>, settings: Settings) -> Self {
        let builder = limits.into_iter().fold(Tollgate::builder().settings(settings), |b, l| b.limit_fields(l));
        let tollgate = builder.start().await.expect("it starts");
        Self { tollgate, start: now() }
    }

    /// What can be reserved now.
    pub(super) async fn available(&self, text: &str) -> u64 {
        self.tollgate.usage(&key(text)).await.expect("it answers").expect("a limit").usage.available
    }

    /// The tokens that are charged now.
    pub(super) async fn tokens_used(&self) -> u64 {
        1_000 - self.available("tokens").await
    }

    pub(super) fn breaker(&self) -> BreakerView {
        self.tollgate.find_breaker(&breaker_name()).expect("it was asked").view()
    }

    pub(super) fn elapsed(&self) -> Duration {
        now().duration_since(self.start)
    }

    /// Every slot is free, nobody waits, no lease lives, no probe is out.
    pub(super) async fn assert_nothing_left(&self) {
        assert_eq!((self.tollgate.waiting(), self.tollgate.totals().live_leases), (0, 0));
        assert_eq!(self.available("slots").await, 2);
        if let Some(breaker) = self.tollgate.find_breaker(&breaker_name()) {
            assert_eq!(breaker.view().probes, 0);
        }
    }
}

/// A slot, 100 tokens and a call, through the breaker.
pub(super) fn spec() -> CallSpec {
    CallSpec::of([("slots", 1), ("tokens", 100), ("calls", 1)]).expect("good keys").breaker(breaker_name())
}

pub(super) fn breaker_name() -> BreakerName {
    BreakerName::parse(BREAKER).expect("a good name")
}

pub(super) async fn answer(_: CallContext) -> Result<&'static str, &'static str> {
    Ok("hello")
}

pub(super) async fn fail(_: CallContext) -> Result<&'static str, &'static str> {
    Err("no")
}

/// Never ends by itself.
pub(super) async fn hang(_: CallContext) -> Result<&'static str, &'static str> {
    pending().await
}

/// Counts how often a call runs.
#[derive(Clone, Default)]
pub(super) struct Runs(Arc<AtomicU32>);

impl Runs {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time, to check when things happened")]
fn now() -> Instant {
    Instant::now()
}
