//! What happens to a lease while its call runs.

use std::time::Duration;

use tollgate::CallError;
use tollgate::call::{CallContext, CallSpec};
use tollgate::config::Settings;

use super::host::{Host, answer, hang, spec};
use crate::support::{checked, concurrency, key, pattern, rolling, sleep_ms, within};

/// Calls for `seconds`.
async fn stream(call: CallContext, seconds: u64) -> Result<&'static str, &'static str> {
    sleep_ms(seconds * 1_000).await;
    answer(call).await
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_longer_than_the_timeout_keeps_its_slot() {
    within(10_000, async {
        let host =
            Host::with([concurrency("slots", 1, 10), rolling("tokens", 1_000, 3_600)], Settings::default()).await;
        let spec = CallSpec::of([("slots", 1), ("tokens", 10)]).expect("good keys");
        let streaming = tokio::spawn({
            let (tollgate, spec) = (host.tollgate.clone(), spec.clone());
            async move { tollgate.call(&spec, |call| stream(call, 95)).await }
        });
        for second in 0..94 {
            sleep_ms(1_000).await;
            assert_eq!(host.available("slots").await, 0, "after {second} s");
        }
        sleep_ms(2_000).await;
        assert_eq!(streaming.await.expect("it did not panic").expect("it answers"), "hello");
        assert_eq!((host.available("slots").await, host.tollgate.totals().expired), (1, 0));
        assert_eq!(host.tollgate.call_totals().leases_lost, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_at_half_of_its_shortest_hold() {
    within(10_000, async {
        let limits = [concurrency("long", 1, 100), concurrency("short", 1, 10), rolling("tokens", 10, 5)];
        let host = Host::with(limits, Settings::default()).await;
        let spec = CallSpec::of([("long", 1), ("short", 1), ("tokens", 1)]).expect("good keys");
        let run = |call: CallContext| {
            let tollgate = host.tollgate.clone();
            async move {
                let lease_id = call.lease_id().expect("it has a lease");
                let ends_in = |moment: tollgate::policy::Moment| moment.since(tollgate.now()).as_millis();
                let mut ends = Vec::new();
                for wait_ms in [4_990, 20, 4_980, 20] {
                    sleep_ms(wait_ms).await;
                    let view = tollgate.lease(lease_id).await.expect("it answers").expect("it is live");
                    let short = view.holds.iter().find(|held| held.key == key("short")).expect("it holds it");
                    ends.push(ends_in(short.expires_at));
                }
                Ok::<_, ()>(ends)
            }
        };
        let ends = host.tollgate.call(&spec, run).await.expect("it answers");
        assert_eq!(ends, [5_010, 9_990, 5_010, 9_990]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_one_second_is_renewed_in_time() {
    within(1_000, async {
        let host = Host::with([concurrency("slots", 1, 1)], Settings::default()).await;
        let spec = CallSpec::of([("slots", 1)]).expect("good keys");
        host.tollgate.call(&spec, |call| stream(call, 30)).await.expect("it answers");
        assert_eq!((host.tollgate.totals().expired, host.tollgate.call_totals().leases_lost), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_when_its_lease_is_lost() {
    within(1_000, async {
        let host = Host::start().await;
        let run = |call: CallContext| {
            let tollgate = host.tollgate.clone();
            async move {
                let lease_id = call.lease_id().expect("it has a lease");
                let actuals = crate::support::used(&[]);
                tollgate.complete(tollgate::policy::Complete { lease_id, actuals }).await.expect("it completes");
                stream(call, 200).await
            }
        };
        assert_eq!(host.tollgate.call(&spec(), run).await.expect("it answers"), "hello");
        assert_eq!(host.tollgate.call_totals().leases_lost, 1);
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_after_the_deadline_or_the_drop() {
    within(1_000, async {
        let host = Host::with([concurrency("slots", 1, 10)], Settings::default()).await;
        let spec = CallSpec::of([("slots", 1)]).expect("good keys").deadline(Duration::from_secs(30));
        let timed_out = host.tollgate.call(&spec, hang).await;
        assert!(matches!(timed_out, Err(CallError::TimedOut { .. })));
        assert_eq!((host.elapsed(), host.available("slots").await), (Duration::from_secs(30), 1));
        let dropped = tokio::time::timeout(Duration::from_secs(12), host.tollgate.call(&spec, hang)).await;
        assert!(dropped.is_err());
        assert_eq!((host.available("slots").await, host.tollgate.totals().live_leases), (1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_knows_where_it_stands() {
    within(1_000, async {
        let host = Host::start().await;
        let spec = spec().deadline(Duration::from_secs(9));
        let run = |call: CallContext| {
            let tollgate = host.tollgate.clone();
            async move {
                sleep_ms(2_000).await;
                let lease = tollgate.lease(call.lease_id().expect("it has one")).await.expect("it answers");
                assert!(lease.is_some_and(|lease| lease.is_live));
                Ok::<_, ()>((call.attempt(), call.time_left()))
            }
        };
        assert_eq!(host.tollgate.call(&spec, run).await.expect("it answers"), (1, Duration::from_secs(7)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_deleted_takes_no_other_slot_with_it() {
    within(10_000, async {
        for is_put_again in [false, true] {
            let host = Host::with([concurrency("short", 1, 2), concurrency("long", 1, 60)], Settings::default()).await;
            let spec = CallSpec::of([("short", 1), ("long", 1)]).expect("good keys");
            let change = async {
                sleep_ms(500).await;
                host.tollgate.delete_limit(&pattern("short")).await.expect("it is deleted");
                sleep_ms(if is_put_again { 1_000 } else { 10_000 }).await;
                host.tollgate.put_limit(checked(concurrency("short", 1, 2))).await.expect("it is defined");
                for second in 0..180 {
                    sleep_ms(1_000).await;
                    assert_eq!(host.available("long").await, 0, "after {second} s");
                }
            };
            let (streamed, ()) = tokio::join!(host.tollgate.call(&spec, |call| stream(call, 200)), change);
            assert_eq!(streamed.expect("it answers"), "hello");
            assert_eq!((host.available("long").await, host.available("short").await), (1, 1));
            assert_eq!((host.tollgate.call_totals().leases_lost, host.tollgate.totals().live_leases), (0, 0));
        }
    })
    .await;
}
