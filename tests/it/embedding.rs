//! A Tollgate inside a host: building it, its handle, its leases, its end.

mod leases;
mod lifecycle;
mod messages;

use tollgate::Tollgate;
use tollgate::policy::{DefinitionFields, LeaseError};
use tollgate::tollgate::StartError;

use crate::support::place::tests_at_each_place;
use crate::support::remote::{Line, Remote};
use crate::support::{concurrency, key, request, rolling, used, within};

tests_at_each_place! {{
    leases:
        a_call_from_reservation_to_completion,
        dropping_a_lease_releases_concurrency_and_keeps_everything_else_charged,
        a_cancelled_call_ends_its_lease,
        a_call_that_panics_ends_its_lease,
        a_completion_with_a_stray_key_ends_the_lease_as_if_dropped,
        a_detached_lease_is_completed_by_its_id,
        limits_are_defined_changed_listed_and_deleted,
        the_status_shows_the_tree_the_books_and_who_waits;
    messages:
        the_registry_takes_changes_as_messages,
        the_backend_takes_requests_over_many_limits_as_messages,
        a_rate_limiter_takes_acquires_as_messages,
        a_grant_that_no_caller_takes_is_given_back,
        an_acquire_by_message_waits_no_longer_than_its_call;
    lifecycle:
        shutting_down_refuses_what_is_new_and_completes_what_is_old,
        the_last_handle_ends_every_actor,
        a_data_directory_keeps_limits_and_their_pending_decrease;
}}

async fn start(limits: impl IntoIterator<Item = DefinitionFields>) -> Tollgate {
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit_fields(limit));
    builder.start().await.expect("it starts")
}

async fn available(tollgate: &Tollgate, text: &str) -> u64 {
    let usage = tollgate.usage(&key(text)).await.expect("it answers").expect("a limit with this key");
    usage.usage.available
}

#[tokio::test(start_paused = true)]
async fn every_mistake_in_the_limits_is_reported_at_once() {
    within(1_000_000, async {
        let good = rolling("a", 1, 60);
        let two_mistakes = DefinitionFields { window_seconds: None, ..rolling("b b", 1, 60) };
        let builder = Tollgate::builder().limit_fields(good).limit_fields(two_mistakes);
        let error = builder.limit_fields(concurrency("c", 0, 60)).start().await.expect_err("mistakes");
        let StartError::Invalid(mistakes) = &error else { panic!("{error}") };
        let fields: Vec<_> = mistakes.0.iter().map(|mistake| mistake.field.as_str()).collect();
        assert_eq!(fields.len(), 3, "{error}");
        assert!(fields[0].ends_with(".key") && fields[1].ends_with(".window_seconds"), "{error}");
        assert!(fields[2].ends_with(".capacity"), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_mistake_names_the_place_of_its_limit() {
    within(1_000_000, async {
        let builder = Tollgate::builder().limit_fields(rolling("a", 0, 60)).limit_fields(rolling("b", 0, 60));
        let error = builder.limit_fields(rolling("c", 1, 0)).start().await.expect_err("mistakes").to_string();
        for place in ["`limits[0].capacity`", "`limits[1].capacity`", "`limits[2].window_seconds`"] {
            assert!(error.contains(place), "{place} in: {error}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn limits_that_contradict_each_other_stop_the_start() {
    within(1_000_000, async {
        let contradictions =
            [[rolling("a", 1, 60), concurrency("a", 1, 60)], [rolling("{x}", 1, 60), rolling("{y}", 1, 60)]];
        for limits in contradictions {
            let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit_fields(limit));
            let error = builder.start().await.expect_err("a contradiction");
            assert!(matches!(error, StartError::Limits(_)), "{error}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_completion_without_an_answer_is_said_again_at_the_drop() {
    within(1_000_000, async {
        let remote = Remote::default();
        let builder = Tollgate::builder().ledger(remote.ledger()).limit_fields(rolling("r", 10, 60));
        let tollgate = builder.start().await.expect("it starts");
        for (is_awaited, left) in [(true, 9), (false, 8)] {
            let lease = tollgate.reserve(request(&[("r", 4)])).await.expect("there is room");
            remote.set(Line::Away);
            remote.set_delay_ms(50);
            let mut completing = Box::pin(lease.complete(used(&[("r", 1)])));
            assert!(futures_util::poll!(&mut completing).is_pending());
            remote.set(Line::Up);
            if is_awaited {
                assert!(matches!(completing.await, Err(LeaseError::Backend(_))));
            } else {
                drop(completing);
            }
            assert_eq!(available(&tollgate, "r").await, left, "and not that all was used");
        }
    })
    .await;
}
