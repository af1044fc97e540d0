//! A million tenants: what their limits weigh and how long they take to make; and how soon a Tollgate with a thousand
//! defined limits answers. Each figure is taken in a process of its own, whose memory nothing else has touched.

mod support;

use std::process::Command;
use std::time::Duration;

use support::{Options, Row, concurrency, heading, medians, now, proc, rolling, timed};
use tokio::runtime::Runtime;
use tollgate::Tollgate;
use tollgate::policy::{Amounts, Complete, Definition, Reserve};

const PARTS: [&str; 3] = ["live", "completed", "start"];
const DAY: u64 = 86_400;
const MEBIBYTE: f64 = (1 << 20) as f64;

fn tenant_request(tenant: usize) -> Reserve {
    let key = format!("tenant:{tenant:07}:llm:daily_tokens");
    Reserve::of([(key.as_str(), 1_500)]).expect("a good request")
}

async fn start(limits: impl IntoIterator<Item = Definition>) -> Tollgate {
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit(limit));
    builder.start().await.expect("a Tollgate")
}

/// Bytes of memory that one reservation of each tenant takes, how long they take, and how much of it this process had a
/// processor. The requests are made in batches,
/// outside the time and small enough not to count in the memory.
async fn fill(tollgate: &Tollgate, tenants: usize, completes: bool) -> (f64, Duration, Duration) {
    const BATCH: usize = 1_000;
    let before = proc::resident_bytes();
    let (mut spent, mut worked) = (Duration::ZERO, Duration::ZERO);
    for first in (0..tenants).step_by(BATCH) {
        let requests: Vec<_> = (first..(first + BATCH).min(tenants)).map(tenant_request).collect();
        let (begun, cpu_begun) = (now(), proc::cpu_time(""));
        for request in requests {
            let grant = tollgate.reserve(request).await.expect("room for every tenant").detach();
            if completes {
                let request = Complete { lease_id: grant.lease_id, actuals: Amounts::default() };
                tollgate.complete(request).await.expect("a live lease");
            }
        }
        spent += begun.elapsed();
        worked += proc::cpu_time("").saturating_sub(cpu_begun);
    }
    let after = proc::resident_bytes();
    (after.saturating_sub(before) as f64, spent, worked)
}

fn million(options: Options, runtime: &Runtime, part: &str) {
    let tenants = options.or_quick(1_000_000, 10_000);
    let (bytes, spent, worked) = runtime.block_on(async {
        let tollgate = start([rolling("tenant:{tenant}:llm:daily_tokens", 1_000_000, DAY)]).await;
        let measured = fill(&tollgate, tenants, part == "completed").await;
        assert_eq!(tollgate.totals().limits, tenants as u64, "one limit per tenant");
        measured
    });
    let row = |what: &str, unit, ours, wanted| {
        let name = format!("{tenants} limits with one {part} lease each: {what}");
        Row { name: &name, unit, ours, comparator: None, wanted }.print(options);
    };
    row("memory", "MiB", bytes / MEBIBYTE, "≤ 512");
    row("memory of one", "bytes", bytes / tenants as f64, "");
    row("to make them", "s", spent.as_secs_f64(), "< 2");
    row("of it processor time", "s", worked.as_secs_f64(), "");
}

/// From nothing to the first granted reservation.
fn start_to_answer(options: Options, runtime: &Runtime) {
    let limits: Vec<_> = (0..1_000).map(|n| concurrency(&format!("global:llm:model-{n}:concurrency"), 10)).collect();
    let round = || {
        let cpu_begun = proc::cpu_time("");
        let (spent, tollgate) = timed(|| {
            runtime.block_on(async {
                let tollgate = start(limits.clone()).await;
                let request = Reserve::of([("global:llm:model-999:concurrency", 1)]).expect("a good request");
                drop(tollgate.reserve(request).await.expect("room for one"));
                tollgate
            })
        });
        let worked = proc::cpu_time("").saturating_sub(cpu_begun);
        runtime.block_on(tollgate.shutdown());
        [spent, worked].map(|time| time.as_secs_f64() * 1e3)
    };
    let [ours, worked] = medians(options.or_quick(21, 3), round);
    let name = "start with 1000 limits to the first answer";
    Row { name, unit: "ms", ours, comparator: None, wanted: "< 100" }.print(options);
    Row { name: "of it processor time", unit: "ms", ours: worked, comparator: None, wanted: "" }.print(options);
}

fn main() {
    let options = Options::read();
    let asked = std::env::args().find(|argument| PARTS.contains(&argument.as_str()));
    let Some(part) = asked else {
        heading(options, "A million limits, and a start");
        for part in PARTS {
            let this = std::env::current_exe().expect("this program");
            let ended =
                Command::new(this).args(std::env::args().skip(1)).arg(part).status().expect("this program runs");
            assert!(ended.success(), "`{part}` failed");
        }
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    match part.as_str() {
        "start" => start_to_answer(options, &runtime),
        part => million(options, &runtime, part),
    }
}
