//! A bucket that several servers draw from, and refill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tollgate::backends::Backend;
use tollgate::policy::{Complete, Reason};

use super::sharing::{Member, group};
use crate::support::tigerbeetle::{Server, Shared};
use crate::support::{bucket, request, sleep_ms, used, within};

const CAPACITY: u64 = 40;
const PER_SECOND: u64 = 20;

/// What comes at once: a bucket refills in eighths.
const TICK: u64 = CAPACITY / 8;

/// Callers at each server.
const CALLERS: usize = 4;

/// Callers of all servers who take a token whenever there is one.
struct Drawing {
    is_over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<u64>>>,
}

impl Drawing {
    fn start(members: &[Member]) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let each_often = members.iter().flat_map(|member| std::iter::repeat_n(member, CALLERS));
        let callers = each_often.map(|member| {
            let (ledger, is_over) = (Arc::clone(&member.ledger), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut granted_at_ms = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    match ledger.reserve(&request(&[("b", 1)])).get().await {
                        Ok(grant) => {
                            granted_at_ms.push(grant.reserved_at_unix_ms);
                            let complete = Complete { lease_id: grant.lease_id, actuals: used(&[("b", 1)]) };
                            ledger.complete(&complete).get().await.expect("completed");
                        }
                        Err(refusal) => {
                            assert_eq!(refusal.reason, Reason::Denied, "{refusal}");
                            sleep_ms(5).await; // Else it would ask thousands of times.
                        }
                    }
                }
                granted_at_ms
            })
        });
        let callers = callers.collect();
        Self { is_over, callers }
    }

    /// What was granted, and how long it took from the first to the last, in milliseconds of the cluster.
    async fn finish(self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut granted_at_ms = Vec::new();
        for caller in self.callers {
            let granted = caller.await.expect("no panic");
            assert!(!granted.is_empty(), "each had some");
            granted_at_ms.extend(granted);
        }
        let (first, last) = (granted_at_ms.iter().min().expect("some"), granted_at_ms.iter().max().expect("some"));
        println!("{} were granted in {} ms", granted_at_ms.len(), last - first);
        (granted_at_ms.len() as u64, last - first)
    }
}

/// What flows in so many milliseconds of the cluster, and what was due just then. On a busy machine servers know its
/// time only about.
fn most_flows_in(milliseconds: u64) -> u64 {
    PER_SECOND * (milliseconds + 100) / 1_000 + TICK
}

async fn two_members() -> (Shared, [Member; 2]) {
    let shared = Server::shared().await;
    let members = group(&shared.settings()).await;
    for member in &members {
        member.put(bucket("b", CAPACITY, PER_SECOND, 1), 1).await;
    }
    (shared, members)
}

/// Each tick takes effect once, whichever server sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_refill_one_bucket_as_fast_as_one() {
    const SECONDS: u64 = 4;
    within(120, async {
        let (_shared, members) = two_members().await;
        let drawing = Drawing::start(&members);
        sleep_ms(SECONDS * 1_000).await;
        let (granted, took_ms) = drawing.finish().await;
        let most = CAPACITY + most_flows_in(took_ms);
        assert!(granted <= most, "{granted} of {most} in {took_ms} ms");
        // Beside what was there at the beginning.
        let least = CAPACITY + PER_SECOND * SECONDS * 7 / 10;
        assert!(least <= granted, "{granted}, and not {least}, in {took_ms} ms");
    })
    .await;
}

/// What one server refills when both come back is not refilled by the other one once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_nobody_used_for_a_while_is_full_once() {
    within(120, async {
        let (_shared, members) = two_members().await;
        let drawing = Drawing::start(&members);
        sleep_ms(500).await;
        assert!(CAPACITY <= drawing.finish().await.0, "it is empty");
        // It is full after two seconds.
        sleep_ms(2_500).await;
        let drawing = Drawing::start(&members);
        sleep_ms(1_000).await;
        let (granted, took_ms) = drawing.finish().await;
        let most = CAPACITY + most_flows_in(took_ms);
        assert!(CAPACITY <= granted && granted <= most, "{granted} of {most} in {took_ms} ms");
    })
    .await;
}
