//! Callers in a closed loop: each asks again when it has its answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::{now, proc, quantile, timed};

/// What the names of all threads begin with.
const ALL_THREADS: &str = "";

/// One of the two that are measured.
pub(crate) trait Side: Send + Sync + 'static {
    type Lease: Send;

    /// Reserves over the four keys.
    fn reserve(&self) -> impl Future<Output = Self::Lease> + Send;

    /// Ends what was reserved; the call used less.
    fn complete(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;
}

/// What the callers of a round do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// They reserve; what was reserved is completed after the time.
    Reserve,
    /// They reserve and complete.
    Pair,
}

/// How many callers, and how often each of them asks in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) callers: usize,
    pub(crate) each: usize,
}

/// What a round showed; 0 is what was not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(crate) calls: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    /// Processor time of this process.
    pub(crate) cpu_us: f64,
}

/// What all rounds of one side showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    /// All calls over all their time. The cluster's own work comes in bursts, which medians of rounds would leave to
    /// chance.
    pub(crate) per_second: f64,
    /// The median of those of the rounds.
    pub(crate) p50_us: f64,
    /// Processor time of this process for one call.
    pub(crate) cpu_us: f64,
}

impl Total {
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let sum = |part: fn(&Round) -> f64| rounds.iter().map(part).sum::<f64>();
        let calls = sum(|round| round.calls);
        Self {
            per_second: calls / sum(|round| round.seconds),
            p50_us: quantile(rounds.iter().map(|round| round.p50_us).collect(), 0.5),
            cpu_us: sum(|round| round.cpu_us) / calls,
        }
    }
}

/// Rounds of both sides, the order of each two by lot: nothing that comes at intervals meets one side more than the
/// other.
pub(crate) fn totals(rounds: usize, mut ours: impl FnMut() -> Round, mut other: impl FnMut() -> Round) -> [Total; 2] {
    let (mut our_rounds, mut other_rounds) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let is_first = fastrand::bool();
        for is_ours in [is_first, !is_first] {
            if is_ours {
                our_rounds.push(ours());
            } else {
                other_rounds.push(other());
            }
        }
    }
    [Total::of(&our_rounds), Total::of(&other_rounds)]
}

/// One round of one side.
pub(crate) fn round<S: Side>(runtime: &Runtime, side: &Arc<S>, load: Load, work: Work) -> Round {
    let cpu_before = proc::cpu_time(ALL_THREADS);
    let (time, callers) = timed(|| {
        runtime.block_on(async {
            let callers: JoinSet<_> = (0..load.callers).map(|_| caller(Arc::clone(side), load.each, work)).collect();
            callers.join_all().await
        })
    });
    let cpu = proc::cpu_time(ALL_THREADS) - cpu_before;
    let (times, leases): (Vec<_>, Vec<_>) = callers.into_iter().unzip();
    runtime.block_on(async {
        let ends: JoinSet<()> = leases.into_iter().map(|leases| complete_all(Arc::clone(side), leases)).collect();
        ends.join_all().await
    });
    let times: Vec<_> = times.into_iter().flatten().map(|time| time.as_nanos() as f64 / 1e3).collect();
    Round {
        calls: times.len() as f64,
        seconds: time.as_secs_f64(),
        cpu_us: cpu.as_nanos() as f64 / 1e3,
        p50_us: quantile(times, 0.5),
    }
}

async fn caller<S: Side>(side: Arc<S>, calls: usize, work: Work) -> (Vec<Duration>, Vec<S::Lease>) {
    let (mut times, mut leases) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
    for _ in 0..calls {
        let start = now();
        let lease = side.reserve().await;
        match work {
            Work::Reserve => leases.push(lease),
            Work::Pair => side.complete(lease).await,
        }
        times.push(start.elapsed());
    }
    (times, leases)
}

async fn complete_all<S: Side>(side: Arc<S>, leases: Vec<S::Lease>) {
    for lease in leases {
        side.complete(lease).await;
    }
}
