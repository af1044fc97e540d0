//! A ledger behind a network, as callers meet it: answers that are late, lost, or do not come at all.

use std::future::ready;
use std::time::Duration;

use tokio::task::JoinHandle;
use tollgate::actors::Wait;
use tollgate::backends::Backend;
use tollgate::call::{CallContext, CallSpec};
use tollgate::policy::{
    BreakerFields, BreakerName, BreakerSettings, CallReport, Complete, LeaseId, Outcome, Provider, ProviderResponse,
    Reason, Refusal, Reserve,
};
use tollgate::tollgate::Lease;
use tollgate::{CallError, Tollgate};

use crate::support::remote::{Line, Remote};
use crate::support::{concurrency, key, request, rolling, sleep_ms, used};

const MINUTE: Duration = Duration::from_secs(60);

/// `slot` is one at once for 60 s, `tokens` 100 an hour; the breaker `upstream` opens for 10 s at the first failure.
async fn start() -> (Remote, Tollgate) {
    let remote = Remote::default();
    let fields = BreakerFields {
        failure_threshold: Some(1),
        timeout_ms: Some(10_000),
        jitter_percent: Some(0),
        ..BreakerFields::default()
    };
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    let builder = Tollgate::builder().breaker(upstream(), settings).ledger(remote.ledger());
    let builder = builder.limit_fields(concurrency("slot", 1, 60)).limit_fields(rolling("tokens", 100, 3_600));
    (remote, builder.start().await.expect("it starts"))
}

fn upstream() -> BreakerName {
    BreakerName::parse("upstream").expect("a good name")
}

/// What the ledger itself says is free.
async fn available(remote: &Remote, text: &str) -> u64 {
    remote.far().usage(&key(text)).get().await.expect("it answers").expect("a limit").available
}

fn wait_in_line(tollgate: &Tollgate, ms: u64) -> JoinHandle<Result<Lease, Box<Refusal>>> {
    let tollgate = tollgate.clone();
    let wait = Wait::at_most(Duration::from_millis(ms));
    tokio::spawn(async move { tollgate.acquire(request(&[("slot", 1)]), wait).await })
}

#[tokio::test(start_paused = true)]
async fn who_waits_keeps_its_place_while_the_ledger_is_away_or_full() {
    for (line, ms) in [(Line::Away, 65_000), (Line::Full, 61_000)] {
        let (remote, tollgate) = start().await;
        let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
        let waiting = wait_in_line(&tollgate, 600_000);
        sleep_ms(1_000).await;
        remote.set(line);
        // Its timer is due when the hold ends by itself, and finds nobody.
        sleep_ms(ms - 1_000).await;
        assert!(!waiting.is_finished() && tollgate.waiting() == 1, "{line:?}");
        remote.set(Line::Up);
        let back = tollgate.now();
        let lease = waiting.await.expect("no panic").expect("it is its turn");
        let took = tollgate.now().since(back);
        assert!(took <= Duration::from_millis(600), "{line:?}: {took:?}");
        drop((held, lease));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_stays_full_lets_those_in_front_go() {
    let (remote, tollgate) = start().await;
    let begin = tollgate.now();
    let _held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
    let waiting = [wait_in_line(&tollgate, 600_000), wait_in_line(&tollgate, 600_000)];
    sleep_ms(1_000).await;
    remote.set(Line::Full);
    // They ask when what is held ends by itself.
    for (waiter, seconds) in waiting.into_iter().zip([62, 64]) {
        let refusal = waiter.await.expect("no panic").expect_err("there is no room for it");
        let took = tollgate.now().since(begin);
        assert_eq!(refusal.reason, Reason::Overloaded);
        let least = Duration::from_secs(seconds);
        assert!(least <= took && took <= least + Duration::from_millis(1_000), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_full_now_and_then_lets_nobody_go() {
    let (remote, tollgate) = start().await;
    let _held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
    let waiting = wait_in_line(&tollgate, 600_000);
    sleep_ms(1_000).await;
    remote.set(Line::Full);
    sleep_ms(59_300).await;
    let elsewhere = request(&[("slot", 1)]);
    remote.far().reserve(&elsewhere).get().await.expect("what was held has ended by itself");
    remote.set(Line::Up);
    // It learns that another one was faster, and asks again when that one's hold ends by itself.
    sleep_ms(59_000).await;
    assert!(!waiting.is_finished());
    remote.set(Line::Full);
    sleep_ms(1_300).await;
    assert!(!waiting.is_finished(), "it is full for 300 ms only");
    remote.set(Line::Up);
    drop(waiting.await.expect("no panic").expect("it is its turn"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_told_that_nobody_knows() {
    let (remote, tollgate) = start().await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
    let waiting = wait_in_line(&tollgate, 70_000);
    sleep_ms(1_000).await;
    remote.set(Line::Away);
    let begin = tollgate.now();
    let refusal = waiting.await.expect("no panic").expect_err("it is away");
    assert_eq!(refusal.reason, Reason::BackendError("the line is cut".to_owned()));
    assert_eq!((tollgate.now().since(begin), tollgate.waiting()), (Duration::from_secs(69), 0));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_leaves_no_grant_behind_that_was_lost() {
    let (remote, tollgate) = start().await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
    let waiting = wait_in_line(&tollgate, 600_000);
    sleep_ms(1_000).await;
    remote.set(Line::Deaf);
    drop(held);
    sleep_ms(100).await;
    assert_eq!(available(&remote, "slot").await, 0, "it was granted, and does not know");
    waiting.abort();
    // The first word of it is lost too.
    remote.set(Line::Away);
    sleep_ms(100).await;
    remote.set(Line::Up);
    sleep_ms(500).await;
    assert_eq!(available(&remote, "slot").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_lost_is_given_back_though_the_ledger_was_full_since() {
    let (remote, tollgate) = start().await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
    let waiting = wait_in_line(&tollgate, 600_000);
    sleep_ms(1_000).await;
    remote.set(Line::Deaf);
    drop(held);
    sleep_ms(50).await;
    assert_eq!(available(&remote, "slot").await, 0, "it was granted, and does not know");
    remote.set(Line::Full);
    sleep_ms(1_000).await;
    waiting.abort();
    sleep_ms(100).await;
    remote.set(Line::Up);
    sleep_ms(500).await;
    assert_eq!(available(&remote, "slot").await, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_through_a_lost_answer_gets_its_grant_once() {
    let (remote, tollgate) = start().await;
    let held = tollgate.reserve(request(&[("slot", 1)])).await.expect("it fits");
    let waiting = wait_in_line(&tollgate, 600_000);
    sleep_ms(1_000).await;
    remote.set(Line::Deaf);
    drop(held);
    sleep_ms(100).await;
    remote.set(Line::Up);
    let lease = waiting.await.expect("no panic").expect("it has it");
    sleep_ms(20_000).await;
    assert_eq!(available(&remote, "slot").await, 0, "nobody gives it back");
    lease.complete_with([]).await.expect("it ends");
    assert_eq!(available(&remote, "slot").await, 1);
}

fn spec() -> CallSpec {
    CallSpec::of([("slot", 1), ("tokens", 10)]).expect("good keys")
}

async fn answer(_: CallContext) -> Result<(), ()> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_know_whether_it_was_let_in_holds_nothing() {
    let (remote, tollgate) = start().await;
    remote.set(Line::Deaf);
    let result = tollgate.call(&spec(), answer).await;
    let Err(CallError::Refused(refusal)) = result else { panic!("{result:?}") };
    assert_eq!(refusal.reason, Reason::BackendError("the line is cut".to_owned()));
    remote.set(Line::Up);
    assert_eq!((available(&remote, "slot").await, available(&remote, "tokens").await), (1, 100));

    // Also if the ledger is away for a while.
    remote.set(Line::Deaf);
    let calling = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.call(&spec(), answer).await }
    });
    remote.set_delay_ms(10);
    sleep_ms(5).await;
    remote.set(Line::Away);
    calling.await.expect("no panic").expect_err("nobody knows");
    sleep_ms(1_000).await;
    assert_eq!(available(&remote, "slot").await, 0);
    remote.set(Line::Up);
    sleep_ms(5_000).await;
    assert_eq!((available(&remote, "slot").await, available(&remote, "tokens").await), (1, 100));
}

#[tokio::test(start_paused = true)]
async fn what_was_used_is_said_again_where_it_was_not_heard() {
    let (remote, tollgate) = start().await;
    let lease = tollgate.reserve(request(&[("slot", 1), ("tokens", 50)])).await.expect("it fits");
    remote.set_delay_ms(10);
    remote.set(Line::Away);
    let completing = tokio::spawn(lease.complete(used(&[("tokens", 20)])));
    sleep_ms(5).await;
    remote.set(Line::Up);
    completing.await.expect("no panic").expect_err("nobody heard it");
    assert_eq!((available(&remote, "slot").await, available(&remote, "tokens").await), (1, 80));
}

#[tokio::test(start_paused = true)]
async fn a_running_call_is_renewed_on_though_the_ledger_was_away() {
    let (remote, tollgate) = start().await;
    remote.set_delay_ms(100);
    let calling = tokio::spawn({
        let tollgate = tollgate.clone();
        async move {
            let stream = async |_: CallContext| {
                sleep_ms(200_000).await;
                Ok::<(), ()>(())
            };
            tollgate.call(&spec().deadline(Duration::from_secs(300)), stream).await
        }
    });
    // It has the answer about its lease, and asks for the limits when the line is cut.
    sleep_ms(100 + 250 + 50).await;
    remote.set(Line::Away);
    sleep_ms(2_000).await;
    remote.set(Line::Up);
    sleep_ms(150_000).await;
    assert_eq!(available(&remote, "slot").await, 0, "it holds its slot for longer than 60 s");
    calling.await.expect("no panic").expect("it answers");
    assert_eq!((available(&remote, "slot").await, tollgate.call_totals().leases_lost), (1, 0));
}

/// A breaker that lets two probes through.
async fn half_open(tollgate: &Tollgate) {
    let breaker = tollgate.breaker(&upstream()).expect("it is there");
    breaker.try_enter().expect("it is closed").failure();
    sleep_ms(10_001).await;
}

fn probe(lease_id: LeaseId) -> Reserve {
    Reserve { lease_id, ..request(&[("tokens", 1)]).through(upstream()) }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_is_answered_after_the_end_keeps_no_probe() {
    let (remote, tollgate) = start().await;
    half_open(&tollgate).await;
    let lease_id = LeaseId::generate();
    remote.set_delay_ms(1_000);
    let late = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.reserve(probe(lease_id)).await.map(|lease| lease.detach().lease_id) }
    });
    sleep_ms(1).await;
    remote.set_delay_ms(1);
    let _ = tollgate.reserve(probe(lease_id)).await.expect("the same grant").detach();
    let complete = Complete { lease_id, actuals: used(&[]) };
    tollgate.finish(complete, &CallReport::new(Outcome::of_status(200))).await.expect("it ends");
    assert_eq!(late.await.expect("no panic").expect("the same grant"), lease_id);
    let view = tollgate.find_breaker(&upstream()).expect("it is there").view();
    assert_eq!(view.probes, 0, "nobody will come back for it");
}

#[tokio::test(start_paused = true)]
async fn of_the_permits_of_one_lease_the_youngest_counts() {
    let (remote, tollgate) = start().await;
    let lease_id = LeaseId::generate();
    remote.set_delay_ms(20_000);
    let late = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.reserve(probe(lease_id)).await.map(|lease| lease.detach().lease_id) }
    });
    sleep_ms(1).await;
    half_open(&tollgate).await;
    remote.set_delay_ms(1);
    let _ = tollgate.reserve(probe(lease_id)).await.expect("the same grant").detach();
    late.await.expect("no panic").expect("the same grant");
    let breaker = tollgate.find_breaker(&upstream()).expect("it is there");
    assert_eq!(breaker.view().probes, 1);
    let complete = Complete { lease_id, actuals: used(&[]) };
    tollgate.finish(complete, &CallReport::new(Outcome::of_status(500))).await.expect("it ends");
    assert!(breaker.check().is_err(), "the probe's outcome counts, and it opens again");
}

/// How long `asked` takes, and what comes of it.
async fn timed<T>(tollgate: &Tollgate, asked: impl Future<Output = T>) -> (T, Duration) {
    let begin = tollgate.now();
    let answer = asked.await;
    (answer, tollgate.now().since(begin))
}

const AT_ONCE: Duration = Duration::ZERO;
const ONE_ANSWER: Duration = Duration::from_millis(100);

/// Somebody waits for `slot`, which is held, and somebody for more of `tokens` than is left; every answer takes 100 ms.
async fn start_with_lines() -> (Remote, Tollgate) {
    let (remote, tollgate) = start().await;
    let _ = tollgate.reserve(request(&[("slot", 1), ("tokens", 50)])).await.expect("it fits").detach();
    let waiting = tollgate.clone();
    tokio::spawn(async move { waiting.acquire(request(&[("tokens", 60)]), Wait::at_most(MINUTE)).await });
    drop(wait_in_line(&tollgate, 50_000));
    sleep_ms(1_000).await;
    assert_eq!(tollgate.waiting(), 2);
    remote.set_delay_ms(100);
    (remote, tollgate)
}

#[tokio::test(start_paused = true)]
async fn who_waits_keeps_nobody_from_what_is_allowed_while_the_ledger_is_away() {
    let (remote, tollgate) = start_with_lines().await;
    remote.go_on_alone();
    remote.set(Line::Away);
    let (lease, took) = timed(&tollgate, tollgate.reserve(request(&[("slot", 1)]))).await;
    lease.expect("this end has one").complete(used(&[])).await.expect("it ends");
    assert_eq!(took, AT_ONCE);
    assert_eq!(tollgate.peek(&request(&[("slot", 1)]).amounts).await, Ok(()), "as a reservation");
    let wait = Wait::at_most(Duration::from_secs(1));
    drop(tollgate.acquire(request(&[("slot", 1)]), wait).await.expect("this end has one"));

    // Also where that it is away shows over this very question.
    remote.set(Line::Full);
    let asked = async {
        let cut = async {
            sleep_ms(50).await;
            remote.set(Line::Away);
        };
        tokio::join!(tollgate.reserve(request(&[("slot", 1)])), cut).0
    };
    let (lease, took) = timed(&tollgate, asked).await;
    lease.expect("this end has one").complete(used(&[])).await.expect("it ends");
    assert_eq!(took, ONE_ANSWER);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_line_takes_no_longer_than_one_answer() {
    let (remote, tollgate) = start_with_lines().await;
    let both = || request(&[("slot", 1), ("tokens", 10)]);
    let (answer, took) = timed(&tollgate, tollgate.reserve(both())).await;
    let refusal = answer.expect_err("others wait");
    let denied: Vec<_> = refusal.denied.iter().map(|denied| (denied.key.as_str(), denied.available)).collect();
    assert_eq!((refusal.reason, denied), (Reason::Denied, vec![("slot", 0), ("tokens", 50)]));
    assert_eq!(took, ONE_ANSWER);
    let (answer, took) = timed(&tollgate, tollgate.peek(&both().amounts)).await;
    assert_eq!((answer.expect_err("others wait").reason, took), (Reason::Denied, ONE_ANSWER));

    remote.set(Line::Full);
    let (answer, took) = timed(&tollgate, tollgate.reserve(both())).await;
    assert_eq!((answer.expect_err("it is full").reason, took), (Reason::Overloaded, ONE_ANSWER));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_a_breaker_takes_no_longer_than_one_answer() {
    let (remote, tollgate) = start().await;
    let lease_id = LeaseId::generate();
    let _ = tollgate.reserve(probe(lease_id)).await.expect("it fits").detach();
    tollgate.breaker(&upstream()).expect("it is there").try_enter().expect("it is closed").failure();
    remote.set_delay_ms(100);
    let (answer, took) = timed(&tollgate, tollgate.reserve(probe(LeaseId::generate()))).await;
    assert_eq!((answer.expect_err("it is open").reason, took), (Reason::BreakerOpen(upstream()), ONE_ANSWER));
    let (again, took) = timed(&tollgate, tollgate.reserve(probe(lease_id))).await;
    assert_eq!((again.expect("the same grant").detach().lease_id, took), (lease_id, 2 * ONE_ANSWER));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_a_provider_asks_for_holds_while_the_ledger_is_away() {
    let (remote, tollgate) = start().await;
    remote.go_on_alone();
    remote.set_delay_ms(100);
    let turned_away = |call: CallContext| {
        remote.set(Line::Away);
        call.report_response(429, &[("retry-after", "20")], b"").expect("it goes on");
        ready(Err::<(), ()>(()))
    };
    let called = tollgate.call(&spec(), turned_away).await;
    assert!(called.is_err(), "{called:?}");
    let refusal = tollgate.reserve(request(&[("tokens", 1)])).await.expect_err("it is paused");
    assert_eq!(refusal.reason, Reason::LimitPaused(key("tokens")));
    drop(tollgate.reserve(request(&[("slot", 1)])).await.expect("the host's own is not"));
    sleep_ms(20_000).await;
    drop(tollgate.reserve(request(&[("tokens", 1)])).await.expect("the pause is over"));
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_says_reaches_all_limits_at_the_same_time() {
    let remote = Remote::default();
    let builder = Tollgate::builder().ledger(remote.ledger());
    let builder = builder.limit_fields(rolling("a", 10, 60)).limit_fields(rolling("b", 10, 60));
    let tollgate = builder.start().await.expect("it starts");
    let lease_id = tollgate.reserve(request(&[("a", 1), ("b", 1)])).await.expect("it fits").detach().lease_id;
    remote.set_delay_ms(100);
    let response = ProviderResponse { status: 429, headers: &[("retry-after", "20")], body: b"" };
    let report = CallReport::of_response(Provider::Other, &response, tollgate.unix_ms());
    let complete = Complete { lease_id, actuals: used(&[]) };
    let (ended, took) = timed(&tollgate, tollgate.finish(complete, &report)).await;
    ended.expect("it ends");
    assert_eq!(took, 3 * ONE_ANSWER, "which limits it holds, that they pause, that it is over");
    let usage = async |text| remote.far().usage(&key(text)).get().await.expect("it answers").expect("a limit");
    assert!(usage("a").await.paused_until.is_some() && usage("b").await.paused_until.is_some());
}
