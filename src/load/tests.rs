//! Whole loads: on limits that hold, on one that lets everybody in, and on one that stalls.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::*;
use crate::actors::Wait;
use crate::client::{Attempt, Completion, LocalLimiter, NoopLimiter};
use crate::policy::{DefinitionFields, Grant, LeaseError, LeaseId, Refusal, Renew};
use crate::tollgate::Tollgate;

const FIELDS: PlanFields = PlanFields {
    duration: Duration::from_secs(3),
    concurrency: 8,
    rate: None,
    think_ms: 5,
    batch_size: 1,
    history: 100_000,
};
const REACH: Reach = Reach { providers: None, instances: 2, hot_percent: 50 };

fn fields() -> [DefinitionFields; 3] {
    let limit = |key: &str, kind: &str, capacity| DefinitionFields {
        key: key.to_owned(),
        kind: kind.to_owned(),
        capacity,
        ..DefinitionFields::default()
    };
    [
        DefinitionFields { window_seconds: Some(1), ..limit("a:rpm", "rolling", 40) },
        DefinitionFields { timeout_seconds: Some(60), ..limit("a:concurrency", "concurrency", 4) },
        DefinitionFields { window_seconds: Some(2), ..limit("tenant:{tenant}:tpm", "rolling", 4_000) },
    ]
}

fn listed() -> Vec<Listed> {
    let listed = |fields: DefinitionFields| Listed {
        definition: fields.check().expect("a good definition"),
        version: 1,
        is_in_force: true,
    };
    fields().map(listed).into()
}

async fn load(plan: PlanFields, limiter: Arc<dyn Limiter>, stop: impl Future<Output = ()>) -> (Report, Audit) {
    let sizes = BatchSizes::default();
    let limiter: Arc<dyn Limiter> = Arc::new(Metered::new(limiter, sizes.clone()));
    let workload = Workload::new(listed(), REACH).expect("limits");
    let finished = run(plan.check().expect("a good plan"), workload, &[limiter], false, stop).await;
    (finished.report("local", "memory".to_owned(), &sizes), finished.audit(Some(&listed())))
}

async fn local() -> (Tollgate, Arc<dyn Limiter>) {
    let builder = fields().into_iter().fold(Tollgate::builder(), |builder, fields| builder.limit_fields(fields));
    let tollgate = builder.start().await.expect("good limits");
    (tollgate.clone(), Arc::new(LocalLimiter::new(tollgate)))
}

#[tokio::test(start_paused = true)]
async fn limits_that_hold_pass() {
    let (tollgate, limiter) = local().await;
    let (report, audit) = load(FIELDS, limiter, std::future::pending()).await;
    assert!(audit.is_passed(), "{audit:?}");
    assert_eq!((audit.reserves_checked, audit.limits_checked), (report.allowed, 4));
    // Of each call as many tokens as chance says, so that they are some more or some less.
    assert!(report.allowed >= 60 && report.denied > 0 && report.errors.is_empty(), "{report:?}");
    assert_eq!(report.reserves, report.allowed + report.denied);
    assert_eq!(report.complete.count, report.allowed, "each grant is completed once");
    assert_eq!(report.batches.count, report.reserves + report.complete.count);
    assert!(!report.is_cut_short && report.schedule.is_none());
    tollgate.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_lets_everybody_in_is_found_out() {
    let (report, audit) = load(FIELDS, Arc::new(NoopLimiter::new()), std::future::pending()).await;
    assert_eq!(report.denied, 0);
    assert!(audit.over_admissions > 1_000 && !audit.is_passed(), "{audit:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_history_is_told() {
    let plan = PlanFields { history: 10, ..FIELDS };
    let (report, audit) = load(plan, Arc::new(NoopLimiter::new()), std::future::pending()).await;
    assert_eq!((audit.reserves_checked, audit.reserves_unrecorded), (10, report.allowed - 10));
    assert!(!audit.is_whole());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_reports_what_there_is() {
    let (tollgate, limiter) = local().await;
    let plan = PlanFields { think_ms: 3_600_000, ..FIELDS };
    let (report, audit) = load(plan, limiter, tokio::time::sleep(Duration::from_secs(1))).await;
    assert!(report.is_cut_short && (0.9..1.1).contains(&report.seconds), "{report:?}");
    assert_eq!((report.allowed, report.complete.count), (4, 4), "what runs is completed at once");
    assert!(audit.is_passed());
    tollgate.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_keeps_to_its_schedule() {
    let plan = PlanFields { rate: Some(100), think_ms: 0, ..FIELDS };
    let (report, _) = load(plan, Arc::new(NoopLimiter::new()), std::future::pending()).await;
    let schedule = report.schedule.expect("an open loop");
    assert_eq!((schedule.per_second, schedule.made, schedule.missed), (100, 300, 0));
    assert_eq!(report.reserves, 300);
    assert!(report.reserve.max_us < 3_000.0, "{report:?}");
}

/// Answers at once, but for one second in which it answers nobody.
struct Stalls {
    inner: NoopLimiter,
    clock: Clock,
}

impl Stalls {
    const FROM: Duration = Duration::from_secs(1);
    const UNTIL: Duration = Duration::from_secs(2);
}

impl Limiter for Stalls {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move {
            let now = Duration::from_nanos(self.clock.now().as_nanos());
            if (Self::FROM..Self::UNTIL).contains(&now) {
                tokio::time::sleep(Self::UNTIL - now).await;
            }
            self.inner.reserve(attempt).await
        }
        .boxed()
    }

    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        self.inner.acquire(attempt, wait)
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.inner.complete(completion)
    }

    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        self.inner.renew(request)
    }

    fn renew_within(&self, lease_id: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        self.inner.renew_within(lease_id)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_felt_by_every_call_that_was_due_in_it() {
    let stalls = || Arc::new(Stalls { inner: NoopLimiter::new(), clock: Clock::start() });
    let plan = PlanFields { think_ms: 0, rate: Some(100), concurrency: 4, ..FIELDS };
    let (report, _) = load(plan, stalls(), std::future::pending()).await;
    assert_eq!(report.schedule.map(|schedule| (schedule.made, schedule.missed)), Some((300, 0)));
    // A third of the starts was due in the stall; those of its first half waited for more than half of it.
    assert!(report.reserve.p95_us > 700_000.0, "{:?}", report.reserve);
    assert!(report.reserve.p50_us < 10_000.0, "{:?}", report.reserve);
}
