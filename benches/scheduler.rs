//! What the scheduler adds to a job: jobs a second and allocations over four limits, against the same taken by hand in
//! a task of its own; what a waiting job weighs; and a million jobs through a bounded queue.

mod support;

use std::alloc::System;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Options, Row, concurrency, heading, medians, now, rolling, token_bucket};
use tokio::runtime::Builder;
use tollgate::Tollgate;
use tollgate::client::{Attempt, Completion, Limiter, LocalLimiter, NoopLimiter};
use tollgate::policy::{Amounts, CallReport, Complete, Key, Outcome, Reserve, ScheduleBounds, Upstream};
use tollgate::scheduler::{Execute, ExecuteError, Executed, Job, JobHandle, Run, Scheduler};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEYS: [&str; 4] = [
    "global:llm:openai:gpt-4o:rpm",
    "global:llm:openai:gpt-4o:tpm",
    "global:llm:openai:gpt-4o:concurrency",
    "tenant:acme:llm:daily_tokens",
];
const PLENTY: u64 = 1 << 50;
/// As many as wait or run at once.
const AT_ONCE: usize = 1_000;
const MEBIBYTE: f64 = (1 << 20) as f64;

fn amounts() -> Amounts {
    let keyed = KEYS.map(|key| (Key::parse(key).expect("a good key"), 1));
    Amounts::to_reserve(keyed).expect("four amounts")
}

fn upstreams() -> [Upstream; 3] {
    ["openai", "anthropic", "gemini"].map(|provider| Upstream::parse(provider, "model").expect("good names"))
}

fn job(upstream: &Upstream, amounts: &Amounts) -> Job<impl Execute<Answer = u64> + use<>> {
    let call = |run: Run| async move { Ok::<_, ExecuteError>(Executed::new(u64::from(black_box(run.attempt)))) };
    Job::new(upstream.clone(), amounts.clone(), call)
}

async fn start_tollgate() -> Tollgate {
    let [rpm, tpm, at_once, daily] = KEYS;
    let limits =
        [rolling(rpm, PLENTY, 1), token_bucket(tpm, PLENTY), concurrency(at_once, PLENTY), rolling(daily, PLENTY, 1)];
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit(limit));
    builder.start().await.expect("a Tollgate")
}

async fn start_scheduler(limiter: Arc<dyn Limiter>) -> Scheduler {
    let bounds = ScheduleBounds { jobs_max: AT_ONCE, ..ScheduleBounds::default() };
    Scheduler::builder(limiter).bounds(bounds).start().await.expect("a scheduler")
}

/// Puts so many jobs through the scheduler, which is full most of the time.
async fn put_through(scheduler: &Scheduler, jobs: usize) {
    let (upstreams, amounts) = (upstreams(), amounts());
    let mut handles: VecDeque<JobHandle<u64>> = VecDeque::with_capacity(AT_ONCE);
    for n in 0..jobs {
        if handles.len() == AT_ONCE {
            let oldest = handles.pop_front().expect("as many as that");
            assert_eq!(oldest.await.expect("plenty"), 1);
        }
        handles.push_back(scheduler.submit(job(&upstreams[n % 3], &amounts)).expect("room"));
    }
    for handle in handles {
        handle.await.expect("plenty");
    }
}

/// The same by hand: a task for each, which reserves, calls and completes.
async fn by_hand(limiter: &Arc<dyn Limiter>, jobs: usize) {
    let amounts = amounts();
    let mut tasks = VecDeque::with_capacity(AT_ONCE);
    for _ in 0..jobs {
        if tasks.len() == AT_ONCE {
            let oldest: tokio::task::JoinHandle<u64> = tasks.pop_front().expect("as many as that");
            oldest.await.expect("no panic");
        }
        let (limiter, request) = (Arc::clone(limiter), Reserve::new(amounts.clone()));
        tasks.push_back(tokio::spawn(async move {
            let grant = limiter.reserve(Attempt::from(request)).await.expect("plenty");
            let answer = black_box(1);
            let request = Complete { lease_id: grant.lease_id, actuals: Amounts::default() };
            let report = Some(CallReport::new(Outcome::success()));
            limiter.complete(Completion { request, report }).await.expect("a live lease");
            answer
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// Jobs a second and allocations per job, of both sides.
fn throughput(options: Options, runtime: &tokio::runtime::Runtime) {
    let jobs = options.or_quick(20_000, 2_000);
    let (tollgate, limiter, scheduler) = runtime.block_on(async {
        let tollgate = start_tollgate().await;
        let limiter: Arc<dyn Limiter> = Arc::new(LocalLimiter::new(tollgate.clone()));
        (tollgate, Arc::clone(&limiter), start_scheduler(limiter).await)
    });
    let measured = |work: &dyn Fn()| {
        let (region, start) = (Region::new(ALLOCATOR), now());
        work();
        let change = region.change();
        let allocations = change.allocations + change.reallocations;
        [jobs as f64 / start.elapsed().as_secs_f64(), allocations as f64 / jobs as f64]
    };
    let [ours, our_allocations, theirs, their_allocations] = medians(options.or_quick(15, 2), || {
        // In tasks of the runtime, as a host's would be.
        let spawn = |work: tokio::task::JoinHandle<()>| runtime.block_on(work).expect("no panic");
        let [ours, our_allocations] = measured(&|| {
            let scheduler = scheduler.clone();
            spawn(runtime.spawn(async move { put_through(&scheduler, jobs).await }));
        });
        let [theirs, their_allocations] = measured(&|| {
            let limiter = Arc::clone(&limiter);
            spawn(runtime.spawn(async move { by_hand(&limiter, jobs).await }));
        });
        [ours, our_allocations, theirs, their_allocations]
    });
    let side = "a task, reserve and complete by hand";
    let row = |name, unit, ours, theirs, wanted| {
        Row { name, unit, ours, comparator: Some((side, theirs)), wanted }.print(options);
    };
    row("jobs", "per s", ours, theirs, "≥ 50000");
    row("allocations of one", "", our_allocations, their_allocations, "");
    runtime.block_on(async {
        scheduler.shutdown(Duration::ZERO).await;
        tollgate.shutdown().await;
    });
}

/// What a job weighs that waits.
fn waiting(options: Options, runtime: &tokio::runtime::Runtime) {
    let jobs = options.or_quick(100_000, 1_000);
    let bytes = runtime.block_on(async {
        let bounds = ScheduleBounds { jobs_max: jobs, jobs_per_queue_max: jobs, ..ScheduleBounds::default() };
        let bounds = ScheduleBounds { running_max: 1, ..bounds };
        let scheduler =
            Scheduler::builder(Arc::new(NoopLimiter::new())).bounds(bounds).start().await.expect("a scheduler");
        let (upstreams, amounts) = (upstreams(), amounts());
        let hanging = |_: Run| async { std::future::pending::<Result<Executed<u64>, ExecuteError>>().await };
        let _running = scheduler.submit(Job::new(upstreams[0].clone(), amounts.clone(), hanging)).expect("room");
        let region = Region::new(ALLOCATOR);
        for n in 1..jobs {
            drop(scheduler.submit(job(&upstreams[n % 3], &amounts)).expect("room"));
        }
        let change = region.change();
        scheduler.shutdown(Duration::ZERO).await;
        change.bytes_allocated.saturating_sub(change.bytes_deallocated) as f64 / (jobs - 1) as f64
    });
    let name = format!("{jobs} jobs over 4 limits that wait: memory of one");
    Row { name: &name, unit: "bytes", ours: bytes, comparator: None, wanted: "≤ 1024" }.print(options);
}

/// A million jobs through a queue for a thousand.
fn million(options: Options, runtime: &tokio::runtime::Runtime) {
    let tenth = options.or_quick(100_000, 1_000);
    let (grown, seconds) = runtime.block_on(async {
        let scheduler = start_scheduler(Arc::new(NoopLimiter::new())).await;
        let start = now();
        put_through(&scheduler, tenth).await;
        let region = Region::new(ALLOCATOR);
        put_through(&scheduler, 9 * tenth).await;
        let (change, seconds) = (region.change(), start.elapsed().as_secs_f64());
        assert_eq!(scheduler.status().totals.succeeded, 10 * tenth as u64, "each ran once");
        scheduler.shutdown(Duration::ZERO).await;
        (change.bytes_allocated as f64 - change.bytes_deallocated as f64, seconds)
    });
    let row = |what: &str, unit, ours, wanted| {
        let name = format!("{} jobs through a queue for {AT_ONCE}: {what}", 10 * tenth);
        Row { name: &name, unit, ours, comparator: None, wanted }.print(options);
    };
    row("memory that the last 90 % add", "MiB", grown / MEBIBYTE, "≤ 1");
    row("time", "s", seconds, "");
}

fn main() {
    let options = Options::read();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    heading(options, "A job through the scheduler");
    throughput(options, &runtime);
    waiting(options, &runtime);
    million(options, &runtime);
}
