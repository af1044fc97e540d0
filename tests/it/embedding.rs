//! A Tollgate inside a host: building it, its handle, its leases, its end.

mod lifecycle;
mod messages;

use tollgate::Tollgate;
use tollgate::actors::{RegistryError, Status as EntryStatus, Wait};
use tollgate::backends::Health;
use tollgate::policy::{Complete, DefinitionFields, LeaseError, LimitState, Reason, Renew};
use tollgate::tollgate::{CompleteError, StartError};

use crate::support::remote::{Line, Remote};
use crate::support::{
    bucket, checked, concurrency, key, label, one_of_each_kind, pattern, request, rolling, sleep_ms, used, within,
};

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
async fn a_call_from_reservation_to_completion() {
    within(1_000_000, async {
        let tollgate = start([rolling("tokens", 100, 60), concurrency("slots", 2, 30)]).await;
        let wanted = request(&[("tokens", 60), ("slots", 1)]);
        tollgate.peek(&wanted.amounts).await.expect("it fits");
        let lease = tollgate.reserve(wanted.clone()).await.expect("it fits");
        assert_eq!(lease.id(), wanted.lease_id);
        assert!(0 < lease.reserved_at_unix_ms());
        assert_eq!((available(&tollgate, "tokens").await, available(&tollgate, "slots").await), (40, 1));
        lease.renew(None).await.expect("it lives");
        lease.complete_with([("tokens", 10)]).await.expect("completed");
        assert_eq!((available(&tollgate, "tokens").await, available(&tollgate, "slots").await), (90, 2));
        let view = tollgate.lease(wanted.lease_id).await.expect("it answers").expect("it is remembered");
        assert!(!view.is_live);
        assert_eq!(
            tollgate.peek(&request(&[("slots", 3)]).amounts).await.expect_err("too much").reason.code(),
            "never_fits:slots"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_lease_releases_concurrency_and_keeps_everything_else_charged() {
    within(1_000_000, async {
        let tollgate = start(one_of_each_kind(10, 600)).await;
        let keys = ["rolling", "concurrency", "token_bucket"];
        for how in ["reserve", "acquire"] {
            let wanted = request(&keys.map(|key| (key, 4)));
            let lease = match how {
                "reserve" => tollgate.reserve(wanted).await,
                _ => tollgate.acquire(wanted, Wait::at_most(std::time::Duration::ZERO)).await,
            };
            drop(lease.expect("it fits"));
            assert_eq!(available(&tollgate, "concurrency").await, 10, "{how}");
        }
        assert_eq!((available(&tollgate, "rolling").await, available(&tollgate, "token_bucket").await), (2, 2));
        assert_eq!(tollgate.totals().live_leases, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_ends_its_lease() {
    within(1_000_000, async {
        let tollgate = start([concurrency("c", 1, 600)]).await;
        let call = tokio::spawn({
            let tollgate = tollgate.clone();
            async move {
                let _lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
                std::future::pending::<()>().await;
            }
        });
        sleep_ms(10).await;
        assert_eq!(available(&tollgate, "c").await, 0);
        call.abort();
        drop(call.await);
        assert_eq!(available(&tollgate, "c").await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_ends_its_lease() {
    within(1_000_000, async {
        let tollgate = start([concurrency("c", 1, 600)]).await;
        let lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
        let call = tokio::spawn(async move {
            let _lease = lease;
            assert_eq!(1, 2, "the call fails");
        });
        assert!(call.await.expect_err("it failed").is_panic());
        assert_eq!(available(&tollgate, "c").await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_completion_with_a_stray_key_ends_the_lease_as_if_dropped() {
    within(1_000_000, async {
        let tollgate = start([concurrency("c", 1, 600), rolling("r", 10, 600)]).await;
        let lease = tollgate.reserve(request(&[("c", 1), ("r", 5)])).await.expect("it fits");
        let error = lease.complete_with([("r", 1), ("other", 1)]).await.expect_err("it does not hold that");
        assert_eq!(error, CompleteError::Lease(LeaseError::KeyNotHeld(key("other"))));
        assert_eq!((available(&tollgate, "c").await, available(&tollgate, "r").await), (1, 5));
        let lease = tollgate.reserve(request(&[("c", 1)])).await.expect("it fits");
        let error = lease.complete_with([("not a key", 1)]).await.expect_err("no key");
        assert!(matches!(error, CompleteError::Invalid(_)));
        assert_eq!(available(&tollgate, "c").await, 1);
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

#[tokio::test(start_paused = true)]
async fn a_detached_lease_is_completed_by_its_id() {
    within(1_000_000, async {
        let tollgate = start([concurrency("c", 1, 600), rolling("r", 10, 600)]).await;
        let lease = tollgate.reserve(request(&[("c", 1), ("r", 5)])).await.expect("it fits");
        let lease_id = lease.detach().lease_id;
        assert_eq!(available(&tollgate, "c").await, 0, "detaching ends nothing");
        let lives = tollgate.renew(Renew { lease_id, timeout: None }).await.expect("it lives");
        assert_eq!(lives.as_secs(), 600);
        let stray = Complete { lease_id, actuals: used(&[("x", 1)]) };
        assert_eq!(tollgate.complete(stray).await, Err(LeaseError::KeyNotHeld(key("x"))));
        assert_eq!(available(&tollgate, "c").await, 0, "by id, a refused completion changes nothing");
        for _ in 0..2 {
            let completion = Complete { lease_id, actuals: used(&[("r", 2)]) };
            assert_eq!(tollgate.complete(completion).await, Ok(()));
        }
        assert_eq!((available(&tollgate, "c").await, available(&tollgate, "r").await), (1, 8));
        assert_eq!(tollgate.renew(Renew { lease_id, timeout: None }).await, Err(LeaseError::Finished));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn limits_are_defined_changed_listed_and_deleted() {
    within(1_000_000, async {
        let tollgate = start([]).await;
        assert_eq!(tollgate.put_limit(checked(concurrency("b", 10, 60))).await, Ok(LimitState::Active));
        assert_eq!(tollgate.put_limit(checked(bucket("a:{x}", 10, 1, 1))).await, Ok(LimitState::Active));
        let conflict = tollgate.put_limit(checked(rolling("b", 10, 60))).await;
        assert!(matches!(conflict, Err(RegistryError::KindConflict { .. })), "{conflict:?}");
        let _lease = tollgate.reserve(request(&[("b", 8)])).await.expect("it fits");
        let LimitState::Decreasing { to } = tollgate.put_limit(checked(concurrency("b", 5, 60))).await.expect("taken")
        else {
            panic!("8 of 10 are held");
        };
        let entries = tollgate.limits().await.expect("it answers");
        let listed: Vec<_> =
            entries.iter().map(|e| (e.definition.pattern.as_str(), e.status, e.pending_decrease_to)).collect();
        assert_eq!(listed, [("a:{x}", EntryStatus::Active, None), ("b", EntryStatus::Decreasing, Some(to))]);
        assert!(entries[0].version < entries[1].version);
        let deleted = tollgate.delete_limit(&pattern("b")).await.expect("deleted").expect("it was there");
        assert_eq!(deleted.definition.pattern.as_str(), "b");
        assert_eq!(tollgate.delete_limit(&pattern("b")).await, Ok(None));
        assert_eq!(tollgate.limit(&pattern("b")).await, Ok(None));
        let refused = tollgate.reserve(request(&[("b", 1)])).await.expect_err("it is gone");
        assert_eq!(refused.reason, Reason::UnknownLimitKey(key("b")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_status_shows_the_tree_the_books_and_who_waits() {
    within(1_000_000, async {
        let builder = Tollgate::builder().name("shown").limit_fields(concurrency("c", 1, 600));
        let tollgate = builder.start().await.expect("it starts");
        let lease = tollgate.reserve(request(&[("c", 1)]).for_tenant(label("acme"))).await.expect("it fits");
        let waiting = tokio::spawn({
            let tollgate = tollgate.clone();
            async move {
                tollgate.acquire(request(&[("c", 1)]), Wait::at_most(std::time::Duration::from_secs(9))).await.is_ok()
            }
        });
        sleep_ms(1_500).await;
        let status = tollgate.status();
        assert_eq!(
            (status.name.as_str(), status.state, status.uptime_ms, status.waiters),
            ("shown", "running", 1_500, 1)
        );
        let books = &status.backend;
        assert_eq!(
            (books.kind, books.healthy, books.limits, books.live_leases, books.granted),
            ("memory", true, 1, 1, 1)
        );
        assert_eq!(
            (status.actors.name.as_str(), status.actors.state, status.actors.restarts),
            ("shown/root", "running", 0)
        );
        let children: Vec<_> = status.actors.children.iter().map(|child| (child.name.as_str(), child.state)).collect();
        let wanted = ["shown/registry", "shown/backend", "shown/limiters"].map(|name| (name, "running"));
        assert_eq!(children[..3], wanted);
        let limiters: Vec<_> = status.actors.children[2].children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(limiters, ["shown/rate_limiter/c"]);
        let (usages, next) = tollgate.usages(0, 10).await.expect("it answers");
        assert_eq!((usages.len(), usages[0].waiters, next), (1, 1, None));
        drop(lease);
        assert!(waiting.await.expect("it did not panic"));
        assert_eq!((tollgate.waiting(), tollgate.health()), (0, Health::Up));
    })
    .await;
}
