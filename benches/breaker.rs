//! Entering a circuit breaker and telling that the call went well, against the `call` of the `recloser` crate around
//! nothing. That one keeps the last hundred outcomes in a ring of bits and takes a closure; ours hands out a permit.

mod support;

use std::hint::black_box;
use std::sync::Barrier;

use recloser::Recloser;
use support::{Options, Row, heading, medians, timed};
use tokio::runtime::Builder;
use tollgate::policy::{BreakerFields, BreakerName, BreakerSettings};
use tollgate::{Breaker, Tollgate};

const CALLS_PER_ROUND: u32 = 20_000;
/// Calls before the measured ones of a round: what ran meanwhile has taken the caches.
const CALLS_TO_WARM: u32 = 2_000;
const THREADS: usize = 2;
const RECLOSER: &str = "recloser's call";

/// Enters and succeeds.
fn succeed(breaker: &Breaker) {
    black_box(breaker).try_enter().expect("it is closed").success();
}

/// Enters and fails, then enters and succeeds: nothing that opens either of the two.
fn fail_and_succeed(breaker: &Breaker) {
    black_box(breaker).try_enter().expect("it is closed").failure();
    succeed(breaker);
}

fn recloser_succeeds(recloser: &Recloser) {
    black_box(black_box(recloser).call(|| Ok::<(), ()>(()))).expect("it is closed");
}

fn recloser_fails_and_succeeds(recloser: &Recloser) {
    black_box(black_box(recloser).call(|| Err::<(), ()>(()))).expect_err("the error is handed on");
    recloser_succeeds(recloser);
}

/// Nanoseconds for each of a round's calls, once they are warm.
fn round(mut call: impl FnMut()) -> f64 {
    (0..CALLS_TO_WARM).for_each(|_| call());
    let (time, ()) = timed(|| (0..CALLS_PER_ROUND).for_each(|_| call()));
    time.as_nanos() as f64 / f64::from(CALLS_PER_ROUND)
}

/// The same on several threads that share what they call; the mean over the threads.
fn round_together(call: impl Fn() + Sync) -> f64 {
    let (barrier, call) = (Barrier::new(THREADS), &call);
    let one = || {
        barrier.wait();
        round(call)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it did not panic")).sum::<f64>() / THREADS as f64
    })
}

fn main() {
    let options = Options::read();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let tollgate = runtime.block_on(Tollgate::builder().start()).expect("a Tollgate");
    let breaker = |text: &str| {
        let name = BreakerName::parse(text).expect("a good name");
        tollgate.breaker(&name).expect("there is room")
    };
    let plain = breaker("plain");
    let recloser = Recloser::custom().error_rate(0.9).build();
    let rounds = options.or_quick(1_000, 5);
    let print = |name: &str, [ours, theirs]: [f64; 2], wanted| {
        Row { name, unit: "ns", ours, comparator: Some((RECLOSER, theirs)), wanted }.print(options);
    };

    heading(options, "A circuit breaker that is closed");
    let alone = medians(rounds, || [round(|| succeed(&plain)), round(|| recloser_succeeds(&recloser))]);
    print("enter + success, 1 thread", alone, "≤ 1.0");
    let together =
        medians(rounds, || [round_together(|| succeed(&plain)), round_together(|| recloser_succeeds(&recloser))]);
    print("enter + success, 2 threads on one breaker", together, "");
    let failing =
        medians(rounds, || [round(|| fail_and_succeed(&plain)), round(|| recloser_fails_and_succeeds(&recloser))]);
    print("enter + failure, enter + success, 1 thread", failing, "");

    let window = BreakerFields { failure_rate_percent: Some(90), window_calls: Some(100), ..BreakerFields::default() };
    let settings = window.check(&BreakerSettings::default()).expect("good settings");
    let name = BreakerName::parse("window").expect("a good name");
    let with_window =
        runtime.block_on(Tollgate::builder().breaker(name.clone(), settings).start()).expect("a Tollgate");
    let rated = with_window.breaker(&name).expect("it is there");
    let counting = medians(rounds, || [round(|| succeed(&rated)), round(|| recloser_succeeds(&recloser))]);
    print("enter + success with a rate over 100 calls, 1 thread", counting, "");
}
