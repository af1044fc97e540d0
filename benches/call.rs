//! What the guarded call adds to a call: through a circuit breaker and over four limits, against the same future called
//! bare, and against what it does taken by hand: reserve through the breaker, call, finish.

mod support;

use std::convert::Infallible;
use std::hint::black_box;

use support::{Options, Row, concurrency, heading, now, quantile, rolling, token_bucket};
use tokio::runtime::Builder;
use tollgate::policy::{Amounts, BreakerName, CallReport, Key, Outcome, Reserve};
use tollgate::{CallSpec, Tollgate};

const KEYS: [&str; 4] = [
    "global:llm:openai:gpt-4o:rpm",
    "global:llm:openai:gpt-4o:tpm",
    "global:llm:openai:gpt-4o:concurrency",
    "tenant:acme:llm:daily_tokens",
];
const PROMPT_TOKENS: u64 = 1_500;
const USED_TOKENS: u64 = 900;
const PLENTY: u64 = 1 << 50;
const NEEDS: [(&str, u64); 4] = [(KEYS[0], 1), (KEYS[1], PROMPT_TOKENS), (KEYS[2], 1), (KEYS[3], PROMPT_TOKENS)];
const USED: [(&str, u64); 2] = [(KEYS[1], USED_TOKENS), (KEYS[3], USED_TOKENS)];
const ROUNDS: usize = 2_000;
const CALLS_PER_ROUND: usize = 100;

/// The call that is guarded: it is done at once.
async fn provider() -> Result<u64, Infallible> {
    Ok(black_box(USED_TOKENS))
}

async fn start() -> Tollgate {
    let [rpm, tpm, at_once, daily] = KEYS;
    let limits =
        [rolling(rpm, PLENTY, 1), token_bucket(tpm, PLENTY), concurrency(at_once, PLENTY), rolling(daily, PLENTY, 1)];
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit(limit));
    builder.start().await.expect("a Tollgate")
}

/// Nanoseconds of each call. The clock is read around each, which is part of all figures.
async fn timed(times: &mut Vec<f64>, mut call: impl AsyncFnMut()) {
    for _ in 0..CALLS_PER_ROUND {
        let start = now();
        call().await;
        times.push(start.elapsed().as_nanos() as f64);
    }
}

async fn measure(options: Options) -> [Vec<f64>; 3] {
    let tollgate = start().await;
    let breaker = BreakerName::parse("openai:gpt-4o").expect("a good name");
    let spec = CallSpec::of(NEEDS).expect("good keys").breaker(breaker.clone());
    let reserve = Reserve::of(NEEDS).expect("a good request").through(breaker);
    let keyed = USED.map(|(key, used)| (Key::parse(key).expect("a good key"), used));
    let mut sides = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..options.or_quick(ROUNDS, 5) {
        let [guarded, by_hand, bare] = &mut sides;
        timed(guarded, async || {
            let run = |call: tollgate::CallContext| async move {
                let tokens = provider().await?;
                call.report_usage(USED).expect("it holds the keys");
                Ok::<_, Infallible>(tokens)
            };
            black_box(tollgate.call(&spec, run).await.expect("plenty"));
        })
        .await;
        timed(by_hand, async || {
            let request = Reserve { lease_id: tollgate::policy::LeaseId::generate(), ..reserve.clone() };
            let lease = tollgate.reserve(request).await.expect("plenty");
            let Ok(tokens) = provider().await;
            let used = Amounts::used(keyed.clone()).expect("a few amounts");
            lease.finish(used, &CallReport::new(Outcome::success())).await.expect("a live lease");
            black_box(tokens);
        })
        .await;
        timed(bare, async || {
            let Ok(tokens) = provider().await;
            black_box(tokens);
        })
        .await;
    }
    tollgate.shutdown().await;
    sides
}

fn main() {
    let options = Options::read();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let [guarded, by_hand, bare] = runtime.block_on(measure(options));
    heading(options, "A guarded call through a breaker and over 4 limits");
    for (name, part) in [("guarded call, median", 0.5), ("guarded call, p99", 0.99)] {
        let at = |side: &[f64]| quantile(side.to_vec(), part);
        for comparator in [("the same future, bare", at(&bare)), ("reserve and finish by hand", at(&by_hand))] {
            Row { name, unit: "ns", ours: at(&guarded), comparator: Some(comparator), wanted: "" }.print(options);
        }
    }
}
