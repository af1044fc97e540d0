//! Reserve over four keys and complete after it, warm and on one thread, against four keyed checks of `governor`,
//! which keeps one number per key where we keep every hold, and knows neither leases nor all or nothing.

mod support;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultKeyedRateLimiter, Quota};
use support::{Options, Row, concurrency, heading, medians, rolling, timed, token_bucket};
use tollgate::Tollgate;
use tollgate::backends::memory::MemoryLedger;
use tollgate::backends::{Backend, Observer, Registered, Reply};
use tollgate::clock::Clock;
use tollgate::config::Settings;
use tollgate::policy::{Amounts, Complete, Definition, Key, Labels, LeaseId, Reserve};

const KEYS: [&str; 4] = [
    "global:llm:openai:gpt-4o:rpm",
    "global:llm:openai:gpt-4o:tpm",
    "global:llm:openai:gpt-4o:concurrency",
    "tenant:acme:llm:daily_tokens",
];
const PROMPT_TOKENS: u64 = 1_500;
const USED_TOKENS: u64 = 900;
/// As short as windows get: the loop makes as many calls in a second as a busy host in minutes.
const WINDOW_SECONDS: u64 = 1;
const CALLS_PER_ROUND: usize = 500;
/// What a table of the default size remembers, and one that a host with few calls has.
const LEASES: [usize; 2] = [1_000_000, 10_000];
const PLENTY: u64 = 1 << 50;
const GOVERNOR: &str = "4 governor checks";

fn definitions() -> [Definition; 4] {
    let [rpm, tpm, at_once, _] = KEYS;
    [
        rolling(rpm, PLENTY, WINDOW_SECONDS),
        token_bucket(tpm, PLENTY),
        concurrency(at_once, PLENTY),
        rolling("tenant:{tenant}:llm:daily_tokens", PLENTY, WINDOW_SECONDS),
    ]
}

fn amounts<const N: usize>(amounts: [(&Key, u64); N]) -> Amounts {
    Amounts::used(amounts.map(|(key, amount)| (key.clone(), amount))).expect("a few amounts")
}

/// Calls as a host makes them: a lease id each, and what they used in the end.
struct Calls {
    reserves: Vec<Reserve>,
    actuals: Vec<Amounts>,
}

impl Calls {
    fn make(keys: &[Key; 4]) -> Self {
        let [rpm, tpm, at_once, daily] = keys;
        let needed = amounts([(rpm, 1), (tpm, PROMPT_TOKENS), (at_once, 1), (daily, PROMPT_TOKENS)]);
        let used = amounts([(tpm, USED_TOKENS), (daily, USED_TOKENS)]);
        let call = || Reserve { lease_id: LeaseId::generate(), labels: Labels::default(), amounts: needed.clone() };
        Self { reserves: (0..CALLS_PER_ROUND).map(|_| call()).collect(), actuals: vec![used; CALLS_PER_ROUND] }
    }
}

struct Governor {
    limiter: DefaultKeyedRateLimiter<String>,
    keys: [String; 4],
}

impl Governor {
    fn new() -> Self {
        let quota = Quota::per_second(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX);
        Self { limiter: DefaultKeyedRateLimiter::keyed(quota), keys: KEYS.map(str::to_owned) }
    }

    fn round(&self) {
        for _ in 0..CALLS_PER_ROUND {
            for key in &self.keys {
                black_box(self.limiter.check_key(black_box(key))).expect("plenty");
            }
        }
    }
}

fn per_call<T>(measure: impl FnOnce() -> T) -> (f64, T) {
    let (time, result) = timed(measure);
    (time.as_nanos() as f64 / CALLS_PER_ROUND as f64, result)
}

/// Through the handle that hosts hold.
async fn handle(options: Options, keys: &[Key; 4], settings: Settings) -> [f64; 3] {
    let builder = Tollgate::builder().settings(settings);
    let tollgate = definitions().into_iter().fold(builder, |builder, limit| builder.limit(limit));
    let tollgate = tollgate.start().await.expect("a Tollgate");
    let governor = Governor::new();
    let round = async || {
        let Calls { reserves, actuals } = Calls::make(keys);
        let mut leases = Vec::with_capacity(CALLS_PER_ROUND);
        let start = support::now();
        for request in reserves {
            leases.push(tollgate.reserve(request).await.expect("plenty"));
        }
        let reserved = start.elapsed();
        let (checks, ()) = per_call(|| governor.round());
        let start = support::now();
        for (lease, actuals) in leases.into_iter().zip(actuals) {
            lease.complete(actuals).await.expect("a live lease");
        }
        let completed = start.elapsed();
        let each = |time: std::time::Duration| time.as_nanos() as f64 / CALLS_PER_ROUND as f64;
        [each(reserved), each(completed), checks]
    };
    let mut measured = Vec::new();
    for _ in 0..rounds(options) {
        measured.push(round().await);
    }
    let mut measured = measured.into_iter();
    medians(rounds(options), || measured.next().expect("as many as were measured"))
}

struct Deaf;

impl Observer for Deaf {
    fn capacity_freed(&self, _: &Key) {}
}

/// Without the handle: the lock, the clock and the books.
fn ledger(options: Options, keys: &[Key; 4], settings: &Settings) -> [f64; 3] {
    let ledger = MemoryLedger::new(Clock::start(), settings, Arc::new(Deaf));
    for (version, definition) in (1..).zip(definitions()) {
        let Reply::Now(applied) = ledger.apply(&Arc::new(Registered { definition, version })) else { unreachable!() };
        applied.expect("a definition");
    }
    let governor = Governor::new();
    let round = || {
        let Calls { reserves, actuals } = Calls::make(keys);
        let (reserve, ()) = per_call(|| {
            for request in &reserves {
                assert!(matches!(ledger.reserve(request), Reply::Now(Ok(_))), "plenty");
            }
        });
        let (checks, ()) = per_call(|| governor.round());
        let completes = reserves.iter().map(|request| request.lease_id).zip(actuals);
        let completes: Vec<_> = completes.map(|(lease_id, actuals)| Complete { lease_id, actuals }).collect();
        let (complete, ()) = per_call(|| {
            for request in &completes {
                assert!(matches!(ledger.complete(request), Reply::Now(Ok(()))), "a live lease");
            }
        });
        [reserve, complete, checks]
    };
    medians(rounds(options), round)
}

/// Enough for the full table to have gone round.
fn rounds(options: Options) -> usize {
    options.or_quick(6_000, 20)
}

fn main() {
    let options = Options::read();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let keys = KEYS.map(|key| Key::parse(key).expect("a good key"));
    for max_leases in LEASES {
        let title = format!("Reserve and complete over 4 keys; the table remembers {max_leases} leases");
        heading(options, &title);
        let mut settings = Settings::default();
        settings.memory.max_leases = max_leases;
        let sides = [
            ("ledger", ledger(options, &keys, &settings)),
            ("Tollgate", runtime.block_on(handle(options, &keys, settings))),
        ];
        for (side, [reserve, complete, checks]) in sides {
            let row = |name: &str, ours, comparator, wanted| {
                let name = format!("{side}, {max_leases} leases: {name}");
                Row { name: &name, unit: "ns", ours, comparator: Some(comparator), wanted }.print(options);
            };
            row("reserve", reserve, (GOVERNOR, checks), "≤ 1.5");
            row("complete", complete, (GOVERNOR, checks), "");
            row("complete", complete, ("the reserve", reserve), "≤ 1.0");
        }
    }
}
