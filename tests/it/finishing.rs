//! Reservations through a circuit breaker, and what the end of a call tells the breaker and the limits.

mod breaker;
mod crowd;
mod signals;

use std::time::Duration;

use tollgate::policy::{
    BreakerFields, BreakerName, BreakerSettings, BreakerState, CallReport, Fault, Outcome, Reserve,
};
use tollgate::{Lease, Tollgate};

use crate::support::place::{Place, tests_at_each_place, tests_on_threads_at_each_place};
use crate::support::{bucket, concurrency, request, rolling};

tests_at_each_place! {{
    breaker:
        an_open_breaker_refuses_and_charges_nothing,
        of_several_reasons_the_first_by_rank_is_told,
        a_lease_that_lives_is_granted_again_though_the_breaker_is_open,
        what_is_told_by_id_counts_once,
        who_does_not_say_how_it_went_was_cancelled,
        a_call_that_has_no_room_keeps_no_probe,
        a_breaker_that_opened_meanwhile_refuses_the_one_who_waited,
        there_are_no_more_breakers_than_allowed,
        a_call_may_go_through_a_breaker_alone;
    signals:
        a_429_pauses_the_limits_of_its_provider_until_it_said,
        what_is_left_tightens_the_limit_of_that_dimension_until_the_reset,
        nonsense_changes_nothing_and_is_counted,
        a_429_counts_for_no_breaker_and_gives_its_probe_back;
}}

tests_on_threads_at_each_place! {{
    crowd:
        a_call_that_is_reserved_and_finished_by_many_at_once_counts_once,
        probes_that_are_reserved_again_cancelled_and_finished_at_random_keep_no_slot,
        calls_that_are_dropped_while_they_wait_or_run_keep_neither_probe_nor_slot;
}}

/// How long a breaker stays open.
const OPEN_MS: u64 = 2_000;

fn name(text: &str) -> BreakerName {
    BreakerName::parse(text).expect("a good name")
}

/// A call over `slot` (1) and `tokens` (of 100) through the breaker `upstream`.
fn call() -> Reserve {
    request(&[("slot", 1), ("tokens", 10)]).through(name("upstream"))
}

/// A Tollgate whose breaker `upstream` stays open for [`OPEN_MS`], without jitter.
async fn start(place: &Place) -> Tollgate {
    start_open_for(place, OPEN_MS).await
}

async fn start_open_for(place: &Place, open_ms: u64) -> Tollgate {
    let fields = BreakerFields { timeout_ms: Some(open_ms), jitter_percent: Some(0), ..BreakerFields::default() };
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    let builder = place.builder().breaker(name("upstream"), settings);
    let limits = [concurrency("slot", 1, 600), rolling("tokens", 100, 60), bucket("other", 10, 1, 1)];
    let builder = limits.into_iter().fold(builder, |builder, limit| builder.limit_fields(limit));
    builder.start().await.expect("it starts")
}

fn failed() -> CallReport {
    CallReport::new(Outcome::failed(Fault::Timeout))
}

fn state(tollgate: &Tollgate) -> BreakerState {
    tollgate.find_breaker(&name("upstream")).expect("it is known").view().state
}

async fn reserve(tollgate: &Tollgate) -> Lease {
    tollgate.reserve(call()).await.expect("it is granted")
}

/// Lets calls fail until the breaker is open; they charge nothing.
async fn fail_until_open(tollgate: &Tollgate) {
    for _ in 0..5 {
        let lease = reserve(tollgate).await;
        lease.finish(crate::support::used(&[("tokens", 0)]), &failed()).await.expect("it ends");
    }
    assert_eq!(state(tollgate), BreakerState::Open);
}

async fn available(tollgate: &Tollgate, key: &str) -> u64 {
    let usage = tollgate.usage(&crate::support::key(key)).await.expect("it answers").expect("a limit");
    usage.usage.available
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
