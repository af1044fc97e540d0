//! A server that is killed and started again while its clients go on.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate::client::{Batcher, Limiter, acquire_until, reserve_until};
use tollgate::policy::{Grant, Priority, Refusal, Reserve};

use super::{PATIENCE_SECONDS, end_with, now, remote};
use crate::support::addresses::free_addresses;
use crate::support::server::{Home, Server};
use crate::support::{request, sleep_ms, within};

const CONFIG: &str = r#"
[[limits]]
key = "slots"
kind = "concurrency"
capacity = 100
timeout_seconds = 2

[[limits]]
key = "rpm"
kind = "rolling"
capacity = 1_000_000
window_seconds = 3_600
"#;

const JOBS: u64 = 400;

type Ask = for<'a> fn(&'a Arc<dyn Limiter>, Reserve, Instant) -> BoxFuture<'a, Result<Grant, Box<Refusal>>>;

/// Runs jobs over 100 slots, and kills the server when a quarter of them is done. The books are in its memory.
async fn check(wrap: fn(Arc<dyn Limiter>) -> Arc<dyn Limiter>, ask: Ask) {
    let home = Home::new(CONFIG);
    let address = free_addresses(1)[0];
    let server = Server::start(home.serve_at(&address.to_string())).await;
    let limiter = wrap(Arc::new(remote(address)));
    let done = Arc::new(AtomicU64::new(0));
    let mut jobs = JoinSet::new();
    for _ in 0..JOBS {
        let (limiter, done) = (Arc::clone(&limiter), Arc::clone(&done));
        jobs.spawn(async move {
            let deadline = now() + Duration::from_secs(PATIENCE_SECONDS);
            let grant = ask(&limiter, request(&[("slots", 1), ("rpm", 3)]), deadline).await.expect("in time");
            sleep_ms(3).await;
            // Best effort: a lease of the server that was killed is gone with it.
            let _ = limiter.complete(end_with(grant.lease_id, &[("rpm", 1)])).await;
            done.fetch_add(1, Ordering::Relaxed);
            grant.lease_id
        });
    }
    within(PATIENCE_SECONDS, async {
        while done.load(Ordering::Relaxed) < JOBS / 4 {
            sleep_ms(1).await;
        }
    })
    .await;
    server.crash().await;
    sleep_ms(100).await;
    let server = Server::start(home.serve_at(&address.to_string())).await;
    let ids: HashSet<u128> =
        within(PATIENCE_SECONDS, jobs.join_all()).await.into_iter().map(|lease_id| lease_id.as_u128()).collect();
    assert_eq!(ids.len() as u64, JOBS, "no lease was granted to two");
    let client = server.client();
    within(PATIENCE_SECONDS, async {
        while client.read("/v1/status").await["backend"]["live_leases"] != 0 {
            sleep_ms(2).await;
        }
    })
    .await;
    assert_eq!(client.read("/v1/limits/slots").await["available"], 100);
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_by_one_the_jobs_go_on_and_nothing_is_leaked() {
    check(
        |limiter| limiter,
        |limiter, request, deadline| Box::pin(acquire_until(limiter, request, Priority::Normal, deadline)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_batches_the_jobs_go_on_and_nothing_is_leaked() {
    check(
        |limiter| Arc::new(Batcher::new(limiter, &Default::default())),
        |limiter, request, deadline| Box::pin(reserve_until(limiter, request, deadline)),
    )
    .await;
}
