//! Reserve over four keys and complete after it, warm and on one thread, against four keyed checks of `governor`,
//! which keeps one number per key where we keep every hold, and knows neither leases nor all or nothing.

mod support;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::FutureExt as _;
use governor::{DefaultKeyedRateLimiter, Quota};
use support::{Options, Row, concurrency, heading, medians, rolling, timed, token_bucket};
use tokio::runtime::{Builder, Runtime};
use tollgate::backends::memory::MemoryLedger;
use tollgate::backends::{Backend, Observer, Registered, Reply};
use tollgate::clock::Clock;
use tollgate::config::Settings;
use tollgate::policy::{Amounts, Complete, Definition, Key, Reserve};
use tollgate::{Lease, Tollgate};

const KEYS: [&str; 4] = [
    "global:llm:openai:gpt-4o:rpm",
    "global:llm:openai:gpt-4o:tpm",
    "global:llm:openai:gpt-4o:concurrency",
    "tenant:acme:llm:daily_tokens",
];
const PROMPT_TOKENS: u64 = 1_500;
const USED_TOKENS: u64 = 900;
/// The shortest there is: it holds some 300 000 calls of this loop, as a minute does at 5 000 calls a second.
const WINDOW_SECONDS: u64 = 1;
const CALLS_PER_ROUND: usize = 500;
/// Calls before the measured ones of a round: what ran meanwhile has taken the caches.
const CALLS_TO_WARM: usize = 100;
const CALLS_MEASURED: usize = CALLS_PER_ROUND - CALLS_TO_WARM;
/// What a table of the default size remembers, and one that a host with few calls has.
const LEASES: [usize; 2] = [1_000_000, 10_000];
/// Takes part in no measured call: with it the table of leases is filled beforehand.
const FILLER: &str = "filler";
const PLENTY: u64 = 1 << 50;
const GOVERNOR: &str = "4 governor checks";

fn definitions() -> [Definition; 5] {
    let [rpm, tpm, at_once, _] = KEYS;
    [
        rolling(rpm, PLENTY, WINDOW_SECONDS),
        token_bucket(tpm, PLENTY),
        concurrency(at_once, PLENTY),
        rolling("tenant:{tenant}:llm:daily_tokens", PLENTY, WINDOW_SECONDS),
        concurrency(FILLER, PLENTY),
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
        let call = || Reserve::new(needed.clone());
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

    fn round(&self) -> f64 {
        each_of(0..CALLS_PER_ROUND, |_| {
            for key in &self.keys {
                black_box(self.limiter.check_key(black_box(key))).expect("plenty");
            }
        })
    }
}

/// Does all of `calls`, and says how many nanoseconds each took once it was warm.
fn each_of<T>(calls: impl IntoIterator<Item = T>, mut make: impl FnMut(T)) -> f64 {
    let mut calls = calls.into_iter();
    calls.by_ref().take(CALLS_TO_WARM).for_each(&mut make);
    let (time, ()) = timed(|| calls.for_each(make));
    time.as_nanos() as f64 / CALLS_MEASURED as f64
}

/// A future that never waits, as none does of a ledger in memory.
fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("an answer without waiting")
}

/// Through the handle that hosts hold.
fn handle(options: Options, keys: &[Key; 4], settings: &Settings, runtime: &Runtime) -> [f64; 3] {
    let builder = Tollgate::builder().settings(settings.clone());
    let builder = definitions().into_iter().fold(builder, |builder, limit| builder.limit(limit));
    let tollgate = runtime.block_on(builder.start()).expect("a Tollgate");
    let reserve = |request: &Reserve| ready(tollgate.reserve(request)).expect("plenty");
    let complete = |(lease, actuals): (Lease, Amounts)| ready(lease.complete(actuals)).expect("a live lease");
    for _ in 0..options.or_quick(settings.memory.max_leases, 1_000) {
        complete((reserve(&Reserve::of([(FILLER, 1)]).expect("a good request")), Amounts::default()));
    }
    let governor = Governor::new();
    let round = || {
        let Calls { reserves, actuals } = Calls::make(keys);
        let mut leases = Vec::with_capacity(CALLS_PER_ROUND);
        let reserves = each_of(&reserves, |request| leases.push(reserve(request)));
        let checks = governor.round();
        let completes = each_of(leases.into_iter().zip(actuals), complete);
        [reserves, completes, checks]
    };
    medians(rounds(options), round)
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
    let reserve = |request: &Reserve| assert!(matches!(ledger.reserve(request), Reply::Now(Ok(_))), "plenty");
    let complete = |request: &Complete| assert!(matches!(ledger.complete(request), Reply::Now(Ok(()))), "a live lease");
    for _ in 0..options.or_quick(settings.memory.max_leases, 1_000) {
        let request = Reserve::of([(FILLER, 1)]).expect("a good request");
        reserve(&request);
        complete(&Complete { lease_id: request.lease_id, actuals: Amounts::default() });
    }
    let governor = Governor::new();
    let round = || {
        let Calls { reserves, actuals } = Calls::make(keys);
        let reserving = each_of(&reserves, reserve);
        let checks = governor.round();
        let completes = reserves.iter().map(|request| request.lease_id).zip(actuals);
        let completes: Vec<_> = completes.map(|(lease_id, actuals)| Complete { lease_id, actuals }).collect();
        let completing = each_of(&completes, complete);
        [reserving, completing, checks]
    };
    medians(rounds(options), round)
}

fn rounds(options: Options) -> usize {
    options.or_quick(3_000, 5)
}

fn main() {
    let options = Options::read();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let keys = KEYS.map(|key| Key::parse(key).expect("a good key"));
    for max_leases in LEASES {
        let title = format!("Reserve and complete over 4 keys; the table remembers {max_leases} leases");
        heading(options, &title);
        let mut settings = Settings::default();
        settings.memory.max_leases = max_leases;
        let sides =
            [("ledger", ledger(options, &keys, &settings)), ("Tollgate", handle(options, &keys, &settings, &runtime))];
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
