//! What every limiter answers, in this process or across HTTP, one by one or in batches.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate::Wait;
use tollgate::client::Completion;
use tollgate::policy::{
    BreakerName, CallReport, Fault, LeaseError, LeaseId, Outcome, Priority, Provider, ProviderResponse, Reason, Renew,
    Seconds,
};

use super::{Host, PATIENCE_SECONDS, attempt, end, end_with};
use crate::support::{key, label, sleep_ms, until};

macro_rules! checks {
    ($($check:ident),+ $(,)?) => {
        checks!(@place local: $($check),+);
        #[cfg(all(feature = "server", feature = "http-client"))]
        checks!(@place http: $($check),+);
        #[cfg(all(feature = "server", feature = "http-client"))]
        checks!(@place batched: $($check),+);
    };
    (@place $place:ident: $($check:ident),+) => {
        mod $place {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let check = async { super::$check(super::super::$place().await).await };
                    $crate::support::within(super::super::PATIENCE_SECONDS, check).await;
                }
            )+
        }
    };
}

checks!(
    a_lease_is_granted_once_and_ends_once,
    refusals_say_why_and_when,
    what_was_not_used_is_free_again,
    a_lease_lives_longer_when_it_is_renewed,
    a_lease_tells_how_long_there_is_to_renew_it,
    who_waits_is_served_and_who_leaves_is_not_missed,
    batches_are_answered_in_order,
    how_a_call_went_reaches_breaker_and_limits,
    who_is_dropped_at_any_moment_leaves_nothing,
);

async fn a_lease_is_granted_once_and_ends_once(host: Host) {
    let mut asked = attempt(&[("rpm", 10), ("slots", 1)]);
    asked.request.labels.tenant = Some(label("acme"));
    asked.request.labels.job_id = Some(label("job \"1\""));
    let grant = host.limiter.reserve(asked.clone()).await.expect("there is room");
    assert_eq!(grant.lease_id, asked.request.lease_id);
    assert_eq!(host.limiter.reserve(asked.clone()).await, Ok(grant), "the same again is the same lease");
    let lease = host.tollgate.lease(grant.lease_id).await.expect("an answer").expect("a lease");
    assert_eq!((lease.tenant, lease.job_id), (Some(label("acme")), Some(label("job \"1\""))));
    assert_eq!(host.live_leases(), 1);
    host.limiter.complete(end(grant.lease_id)).await.expect("it is held");
    host.limiter.complete(end(grant.lease_id)).await.expect("it is over");
    host.limiter.complete(end(LeaseId::generate())).await.expect("it never was");
    assert_eq!(host.live_leases(), 0);
    let refusal = host.limiter.reserve(asked).await.expect_err("it is over");
    assert_eq!(refusal.reason, Reason::LeaseFinished);
}

async fn refusals_say_why_and_when(host: Host) {
    let reason = async |requirements: &[(&str, u64)]| {
        host.limiter.reserve(attempt(requirements)).await.expect_err("a refusal").reason
    };
    assert_eq!(reason(&[("rpm", 1), ("none", 1)]).await, Reason::UnknownLimitKey(key("none")));
    assert_eq!(reason(&[("rpm", 1), ("slots", 3)]).await, Reason::NeverFits(key("slots")));
    assert_eq!(reason(&[("rpm", u64::MAX), ("rpm", u64::MAX)]).await, Reason::NeverFits(key("rpm")));
    let held = attempt(&[("rpm", 100), ("slots", 2)]);
    host.limiter.reserve(held.clone()).await.expect("there is room");
    let refusal = host.limiter.reserve(attempt(&[("rpm", 1), ("slots", 1)])).await.expect_err("no room");
    let denied: Vec<_> = refusal.denied.iter().map(|denied| (denied.key.as_str(), denied.capacity)).collect();
    assert_eq!((&refusal.reason, denied.as_slice()), (&Reason::Denied, [("rpm", 100), ("slots", 2)].as_slice()));
    assert!(Duration::from_secs(3_590) < refusal.retry_after, "{refusal:?}");
    let mut other = attempt(&[("rpm", 7)]);
    other.request.lease_id = held.request.lease_id;
    let refusal = host.limiter.reserve(other).await.expect_err("not the same");
    assert!(matches!(refusal.reason, Reason::InvalidRequest(_)), "{refusal:?}");
}

async fn what_was_not_used_is_free_again(host: Host) {
    let held = attempt(&[("rpm", 80), ("slots", 1)]);
    let id = held.request.lease_id;
    host.limiter.reserve(held).await.expect("there is room");
    let error = host.limiter.complete(end_with(id, &[("bucket", 1), ("rpm", 1)])).await;
    assert_eq!(error, Err(LeaseError::KeyNotHeld(key("bucket"))));
    host.limiter.complete(end_with(id, &[("rpm", 5)])).await.expect("it is held");
    let usage = host.tollgate.usage(&key("rpm")).await.expect("an answer").expect("a limit");
    assert_eq!(usage.usage.available, 95);
}

async fn a_lease_lives_longer_when_it_is_renewed(host: Host) {
    let grant = host.limiter.reserve(attempt(&[("slots", 1)])).await.expect("there is room");
    let renew = |timeout| host.limiter.renew(Renew { lease_id: grant.lease_id, timeout });
    let lives = renew(None).await.expect("it is live");
    assert!(Duration::from_secs(590) < lives && lives <= Duration::from_secs(600), "{lives:?}");
    let lives = renew(Seconds::new(30)).await.expect("it is live");
    assert!(lives <= Duration::from_secs(600), "{lives:?}");
    host.limiter.complete(end(grant.lease_id)).await.expect("it is held");
    assert_eq!(renew(None).await, Err(LeaseError::Finished));
}

async fn a_lease_tells_how_long_there_is_to_renew_it(host: Host) {
    let within = |lease_id| host.limiter.renew_within(lease_id);
    let grant = host.limiter.reserve(attempt(&[("rpm", 1)])).await.expect("there is room");
    assert_eq!(within(grant.lease_id).await, Ok(None), "a window is not renewed");
    let grant = host.limiter.reserve(attempt(&[("rpm", 1), ("slots", 1)])).await.expect("there is room");
    let left = within(grant.lease_id).await.expect("it is live").expect("it has a slot");
    assert!(Duration::from_secs(590) < left && left <= Duration::from_secs(600), "{left:?}");
    host.limiter.complete(end(grant.lease_id)).await.expect("it is held");
    for over in [grant.lease_id, LeaseId::generate()] {
        assert_eq!(within(over).await, Err(LeaseError::Finished));
    }
}

async fn who_waits_is_served_and_who_leaves_is_not_missed(host: Host) {
    let held = host.limiter.reserve(attempt(&[("slots", 2)])).await.expect("there is room");
    let wait = Wait::at_most(Duration::from_secs(30)).with_priority(Priority::High);
    let waiting = tokio::spawn({
        let limiter = std::sync::Arc::clone(&host.limiter);
        async move { limiter.acquire(attempt(&[("slots", 2)]), wait).await }
    });
    let leaving = tokio::spawn({
        let limiter = std::sync::Arc::clone(&host.limiter);
        async move { limiter.acquire(attempt(&[("slots", 2)]), wait).await }
    });
    while host.tollgate.waiting() != 2 {
        sleep_ms(2).await;
    }
    leaving.abort();
    while host.tollgate.waiting() != 1 {
        sleep_ms(2).await;
    }
    host.limiter.complete(end(held.lease_id)).await.expect("it is held");
    let served = waiting.await.expect("no panic").expect("it is served");
    let short = Wait::at_most(Duration::from_millis(20));
    let refusal = host.limiter.acquire(attempt(&[("slots", 1)]), short).await.expect_err("no room in time");
    assert_eq!(refusal.reason, Reason::Denied);
    host.limiter.complete(end(served.lease_id)).await.expect("it is held");
    host.until_nothing_is_held().await;
}

async fn batches_are_answered_in_order(host: Host) {
    let attempts: Vec<_> = (0..600).map(|at| attempt(&[(if at % 3 == 0 { "none" } else { "bucket" }, 1)])).collect();
    let answers = host.limiter.reserve_batch(attempts.clone()).await;
    assert_eq!(answers.len(), 600);
    let mut granted = Vec::new();
    for (at, (attempt, answer)) in attempts.iter().zip(answers).enumerate() {
        match answer {
            Ok(grant) => {
                assert_eq!(grant.lease_id, attempt.request.lease_id);
                granted.push(grant.lease_id);
            }
            Err(refusal) if at % 3 == 0 => assert_eq!(refusal.reason, Reason::UnknownLimitKey(key("none"))),
            Err(refusal) => assert_eq!(refusal.reason, Reason::Denied),
        }
    }
    assert_eq!(granted.len(), 50);
    let mut completions: Vec<Completion> = granted.iter().map(|id| end_with(*id, &[("bucket", 0)])).collect();
    completions.insert(7, end_with(granted[49], &[("rpm", 1)]));
    let ended = host.limiter.complete_batch(completions).await;
    assert_eq!(ended.iter().position(Result::is_err), Some(7));
    assert_eq!((ended.len(), &ended[7]), (51, &Err(LeaseError::KeyNotHeld(key("rpm")))));
    assert_eq!(host.live_leases(), 0);
    assert!(host.limiter.reserve_batch(Vec::new()).await.is_empty());
    assert!(host.limiter.complete_batch(Vec::new()).await.is_empty());
}

async fn how_a_call_went_reaches_breaker_and_limits(host: Host) {
    let breaker = BreakerName::parse("openai").expect("a good name");
    let reserve = async || {
        let mut asked = attempt(&[("rpm", 1)]);
        asked.request.breaker = Some(breaker.clone());
        host.limiter.reserve(asked).await
    };
    for _ in 0..5 {
        let grant = reserve().await.expect("the breaker is closed");
        let outcome = Outcome { latency: Some(Duration::from_millis(7)), ..Outcome::failed(Fault::Timeout) };
        let report = Some(CallReport::new(outcome));
        host.limiter.complete(Completion { report, ..end(grant.lease_id) }).await.expect("it is held");
    }
    let refusal = reserve().await.expect_err("the breaker is open");
    assert_eq!(refusal.reason, Reason::BreakerOpen(breaker.clone()));
    let grant = host.limiter.reserve(attempt(&[("rpm", 1)])).await.expect("there is room");
    let headers = [("retry-after", "30")];
    let response = ProviderResponse { status: 429, headers: &headers, body: b"" };
    let report = Some(CallReport::of_response(Provider::OpenAi, &response, host.tollgate.unix_ms()));
    host.limiter.complete(Completion { report, ..end(grant.lease_id) }).await.expect("it is held");
    let refusal = host.limiter.reserve(attempt(&[("rpm", 1)])).await.expect_err("it is paused");
    assert_eq!(refusal.reason, Reason::LimitPaused(key("rpm")));
    let grant = host.limiter.reserve(attempt(&[("bucket", 1)])).await.expect("there is room");
    let report = Some(CallReport::default());
    host.limiter.complete(Completion { report, ..end(grant.lease_id) }).await.expect("a report that says nothing");
}

async fn who_is_dropped_at_any_moment_leaves_nothing(host: Host) {
    for round in 0..40_u64 {
        let time = Duration::from_micros(round * 50);
        let wait = Wait::at_most(Duration::from_secs(60));
        let leave = async |waits: bool| {
            let asked = attempt(&[("slots", 1)]);
            let asked = async {
                if waits { host.limiter.acquire(asked, wait).await } else { host.limiter.reserve(asked).await }
            };
            if let Ok(Ok(grant)) = tokio::time::timeout(time, asked).await {
                host.limiter.complete(end(grant.lease_id)).await.expect("it is held");
            }
        };
        join_all((0..6).map(|at| leave(at % 2 == 0))).await;
    }
    host.until_nothing_is_held().await;
    // Nothing that is still on its way holds anything later.
    sleep_ms(300).await;
    host.until_nothing_is_held().await;
    // But what nobody has read yet may come and go even now.
    let all_is_free = async || host.limiter.reserve(attempt(&[("slots", 2)])).await.is_ok();
    until(PATIENCE_SECONDS / 2, "all of it is free", all_is_free).await;
}
