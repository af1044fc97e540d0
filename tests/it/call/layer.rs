//! The guarded call as a layer of `tower`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tollgate::CallError;
use tollgate::call::{CallContext, CallLayer, CallSpec, DescribeCall, RetryPolicy};
use tollgate::policy::{Backoff, BreakerState};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use super::host::{Host, Runs, spec};
use crate::support::{sleep_ms, within};

/// What a service of these tests answers.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    tokens: u64,
}

/// Requests are the status that is wanted.
struct ByStatus(CallSpec);

impl DescribeCall<u16, Reply> for ByStatus {
    fn spec(&self, _: &u16) -> CallSpec {
        self.0.clone()
    }

    fn report(&self, call: &CallContext, reply: &Reply) {
        call.report_response(reply.status, &[], b"").expect("it runs");
        call.report_usage([("tokens", reply.tokens)]).expect("it holds the key");
    }

    fn copy(&self, request: &u16) -> Option<u16> {
        Some(*request)
    }
}

async fn reply(status: u16) -> Result<Reply, Infallible> {
    Ok(Reply { status, tokens: 5 })
}

#[tokio::test(start_paused = true)]
async fn each_call_of_a_service_is_guarded() {
    within(1_000, async {
        let host = Host::start().await;
        let layer = CallLayer::new(host.tollgate.clone(), ByStatus(spec()));
        let mut service = ServiceBuilder::new().layer(layer).service(service_fn(reply));
        let answer = service.ready().await.expect("ready").call(200).await.expect("it answers");
        assert_eq!((answer, host.tokens_used().await), (Reply { status: 200, tokens: 5 }, 5));
        for _ in 0..5 {
            assert_eq!(service.ready().await.expect("ready").call(503).await.expect("it answers").status, 503);
        }
        assert_eq!(host.breaker().state, BreakerState::Open);
        let refused = service.ready().await.expect("ready").call(200).await;
        assert!(matches!(refused, Err(CallError::Refused(_))));
        host.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_closure_describes_calls_too_and_errors_keep_their_type() {
    within(1_000, async {
        let host = Host::start().await;
        let describe = |tokens: &u64| CallSpec::of([("tokens", *tokens)]).expect("good keys");
        let failing = service_fn(|tokens: u64| async move { Err::<(), _>(format!("no {tokens}")) });
        let service = ServiceBuilder::new().layer(CallLayer::new(host.tollgate.clone(), describe)).service(failing);
        let Err(CallError::Failed(error)) = service.clone().oneshot(40).await else { panic!("it fails") };
        assert_eq!((error.as_str(), host.tokens_used().await), ("no 40", 40));
        let error = service.oneshot(0).await.expect_err("no reservation");
        let text = "`requirements[0].amount` is 0; use at least 1, or `peek` to look without reserving";
        assert_eq!(error.to_string(), text);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_again_with_a_copy_of_the_request() {
    within(1_000, async {
        let host = Host::start().await;
        let backoff = Backoff::new(Duration::from_secs(1), 100, Duration::from_secs(1), Duration::ZERO);
        let spec = spec().retries(RetryPolicy::attempts(3).backoff(backoff));
        sleep_ms(100).await;
        let runs = Runs::default();
        let counted = runs.clone();
        let counting = service_fn(move |status| {
            counted.count();
            reply(status)
        });
        let call = |describe| CallLayer::new(host.tollgate.clone(), describe);
        let service = ServiceBuilder::new().layer(call(ByStatus(spec.clone()))).service(counting);
        // The first call of a runtime pays for nothing yet.
        service.clone().oneshot(200).await.expect("it answers");
        sleep_ms(10_000).await;
        assert_eq!(service.oneshot(500).await.expect("it answers").status, 500);
        assert_eq!(runs.get(), 4);
        let uncopied = CallLayer::new(host.tollgate.clone(), move |_: &u16| spec.clone());
        let counted = runs.clone();
        let failing = service_fn(move |_: u16| {
            counted.count();
            async { Err::<(), _>("no") }
        });
        assert!(ServiceBuilder::new().layer(uncopied).service(failing).oneshot(500).await.is_err());
        assert_eq!(runs.get(), 5, "without a copy there is one attempt");
    })
    .await;
}

/// Ready once for each call; a clone is not ready, as with a service that holds a place.
struct Reserved {
    is_ready: bool,
    readied: Arc<AtomicUsize>,
}

impl Clone for Reserved {
    fn clone(&self) -> Self {
        Self { is_ready: false, readied: Arc::clone(&self.readied) }
    }
}

impl Service<u16> for Reserved {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !self.is_ready {
            self.is_ready = true;
            self.readied.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, status: u16) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        Box::pin(reply(status))
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    within(1_000, async {
        let host = Host::start().await;
        let readied = Arc::new(AtomicUsize::new(0));
        let inner = Reserved { is_ready: false, readied: Arc::clone(&readied) };
        let layer = CallLayer::new(host.tollgate.clone(), ByStatus(spec()));
        let mut service = ServiceBuilder::new().layer(layer).service(inner);
        for calls in 1..=3 {
            service.ready().await.expect("ready").call(200).await.expect("it answers");
            assert_eq!(readied.load(Ordering::Relaxed), calls, "made ready once for each call");
        }
        let both = {
            let first = service.ready().await.expect("ready").call(200);
            let second = service.ready().await.expect("ready").call(200);
            tokio::join!(first, second)
        };
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(readied.load(Ordering::Relaxed), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_hangs_or_is_never_ready_leaves_nothing() {
    within(10_000, async {
        let host = Host::start().await;
        let layer = CallLayer::new(host.tollgate.clone(), ByStatus(spec().deadline(Duration::from_secs(9))));
        let panicking = service_fn(|status: u16| async move {
            assert_ne!(status, 200, "as one may");
            Err::<Reply, _>("no")
        });
        let service = ServiceBuilder::new().layer(layer.clone()).service(panicking);
        assert!(tokio::spawn(service.clone().oneshot(200)).await.is_err_and(|error| error.is_panic()));
        assert!(matches!(service.clone().oneshot(500).await, Err(CallError::Failed("no"))));
        drop(service.clone().oneshot(500));
        let hanging = service_fn(|_: u16| std::future::pending::<Result<Reply, Infallible>>());
        let service = ServiceBuilder::new().layer(layer.clone()).service(hanging);
        assert!(tokio::time::timeout(Duration::from_secs(1), service.clone().oneshot(200)).await.is_err());
        assert!(matches!(service.oneshot(200).await, Err(CallError::TimedOut { .. })));
        // Called without having been asked whether it is ready.
        let inner = Reserved { is_ready: false, readied: Arc::default() };
        let mut service = ServiceBuilder::new().layer(layer).service(inner);
        let (first, second) = (service.call(200), service.call(200));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_ok() && second.is_ok());
        host.assert_nothing_left().await;
    })
    .await;
}
