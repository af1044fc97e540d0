//! Definitions, amounts and settings at the edge of what is valid: no request may break the books for everybody.

use std::time::Duration;

use tollgate::backends::Health;
use tollgate::config::Settings;
use tollgate::policy::{DefinitionFields, Key, Mode, Overage, Priority, Reserve, Turns};
use tollgate::tollgate::TollgateBuilder;
use tollgate::{Tollgate, Wait};

use crate::support::within;

fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}

fn rolling(key: &str, capacity: u64) -> DefinitionFields {
    let (kind, window_seconds) = ("rolling".into(), Some(60));
    DefinitionFields { key: key.into(), kind, capacity, window_seconds, ..Default::default() }
}

fn concurrency(key: &str, capacity: u64) -> DefinitionFields {
    let (kind, timeout_seconds) = ("concurrency".into(), Some(60));
    DefinitionFields { key: key.into(), kind, capacity, timeout_seconds, ..Default::default() }
}

fn bucket(key: &str, capacity: u64) -> DefinitionFields {
    let (kind, refill_amount, refill_seconds) = ("token_bucket".into(), Some(1), Some(3_600));
    DefinitionFields { key: key.into(), kind, capacity, refill_amount, refill_seconds, ..Default::default() }
}

async fn start(builder: TollgateBuilder) -> Tollgate {
    builder.start().await.expect("it starts")
}

fn of(requirements: &[(&str, u64)]) -> Reserve {
    Reserve::of(requirements.iter().copied()).expect("a good request")
}

async fn available(tollgate: &Tollgate, text: &str) -> u64 {
    tollgate.usage(&key(text)).await.expect("it answers").expect("it is defined").usage.available
}

#[tokio::test]
async fn a_request_for_more_instances_than_a_template_may_have_is_shed() {
    let mut settings = Settings::default();
    settings.memory.max_instances = 1;
    let tollgate = start(Tollgate::builder().settings(settings).limit_fields(concurrency("t:{x}", 1))).await;
    let refusal = tollgate.reserve(of(&[("t:a", 1), ("t:b", 1)])).await.expect_err("only one of them fits");
    assert_eq!(refusal.reason.code(), "overloaded");
    assert_eq!(tollgate.health(), Health::Up);
    drop(tollgate.reserve(of(&[("t:c", 1)])).await.expect("an idle instance makes room for another"));
}

#[tokio::test]
async fn the_largest_actuals_of_many_instances_are_counted_without_overflow() {
    let limit = DefinitionFields { overage: Overage::Deny, ..rolling("t:{x}", 10) };
    let tollgate = start(Tollgate::builder().limit_fields(limit)).await;
    for instance in ["t:a", "t:b"] {
        let lease = tollgate.reserve(of(&[(instance, 1)])).await.expect("there is room");
        lease.complete_with([(instance, u64::MAX), (instance, u64::MAX)]).await.expect("it completes");
    }
    assert_eq!(tollgate.health(), Health::Up);
    assert_eq!(tollgate.totals().definitions[0].counters.overage, u64::MAX);
}

#[tokio::test(start_paused = true)]
async fn an_idle_instance_with_a_pending_decrease_is_dropped() {
    let tollgate = start(Tollgate::builder().limit_fields(rolling("t:{x}", 10))).await;
    let lease = tollgate.reserve(of(&[("t:a", 10)])).await.expect("there is room");
    lease.complete_with([("t:a", 10)]).await.expect("it completes");
    tollgate.put_limit(rolling("t:{x}", 5).check().expect("good")).await.expect("it is accepted");
    let refusal = tollgate.reserve(of(&[("t:a", 1)])).await.expect_err("it is decreasing");
    assert_eq!(refusal.reason.code(), "limit_decreasing:t:a");
    tokio::time::sleep(Duration::from_secs(180)).await;
    assert_eq!(tollgate.totals().limits, 0);
}

#[tokio::test]
async fn deleting_a_template_keeps_what_a_better_one_has_taken_over() {
    let tollgate = start(Tollgate::builder().limit_fields(rolling("{k}:{x}", 10))).await;
    let _charged = tollgate.reserve(of(&[("t:a", 10)])).await.expect("there is room").detach();
    tollgate.put_limit(rolling("t:{x}", 10).check().expect("good")).await.expect("it is accepted");
    let old = rolling("{k}:{x}", 10).check().expect("good").pattern;
    tollgate.delete_limit(&old).await.expect("it answers");
    assert_eq!(available(&tollgate, "t:a").await, 0);
}

#[tokio::test]
async fn the_longest_aging_puts_nobody_out() {
    let turns = Turns { aging: Duration::MAX, ..Turns::default() };
    let settings = Settings { turns, ..Settings::default() };
    let tollgate = start(Tollgate::builder().settings(settings).limit_fields(concurrency("c", 1))).await;
    let held = tollgate.reserve(of(&[("c", 1)])).await.expect("there is room");
    let wait = Wait::at_most(Duration::MAX).with_priority(Priority::Low);
    let waiting = tokio::spawn({
        let tollgate = tollgate.clone();
        async move { tollgate.acquire(of(&[("c", 1)]), wait).await }
    });
    while tollgate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    drop(held);
    drop(within(2, waiting).await.expect("it ran").expect("its turn came"));
}

#[tokio::test]
async fn what_a_shadow_bucket_never_gave_is_not_given_back() {
    let shadow = DefinitionFields { mode: Mode::Shadow, ..bucket("b", 10) };
    let tollgate = start(Tollgate::builder().limit_fields(shadow)).await;
    let first = tollgate.reserve(of(&[("b", 10)])).await.expect("there is room");
    let second = tollgate.reserve(of(&[("b", 10)])).await.expect("a shadow limit refuses nobody");
    second.complete_with([("b", 0)]).await.expect("it completes");
    first.complete_with([("b", 10)]).await.expect("it completes");
    assert_eq!(available(&tollgate, "b").await, 0);
}

#[tokio::test]
async fn a_lease_can_be_renewed_for_ever() {
    let tollgate = start(Tollgate::builder().limit_fields(concurrency("c", 1))).await;
    let lease = tollgate.reserve(of(&[("c", 1)])).await.expect("there is room");
    lease.renew(Some(Duration::MAX)).await.expect("it lives");
}
