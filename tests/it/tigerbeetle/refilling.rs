//! A bucket that several servers draw from, and refill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tollgate::backends::Backend;
use tollgate::policy::{Complete, Reason};

use super::sharing::{Member, group};
use crate::support::tigerbeetle::{Server, Shared};
use crate::support::{bucket, request, sleep_ms, until, used, within};

const CAPACITY: u64 = 40;
const PER_SECOND: u64 = 20;

/// What comes at once: a bucket refills in eighths.
const TICK: u64 = CAPACITY / 8;

/// Callers at each server.
const CALLERS: usize = 4;

/// Callers of all servers who take a token whenever there is one.
struct Drawing {
    granted: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<u64>>>,
}

impl Drawing {
    fn start(members: &[Member]) -> Self {
        let (granted, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let each_often = members.iter().flat_map(|member| std::iter::repeat_n(member, CALLERS));
        let callers = each_often.map(|member| {
            let (ledger, granted, is_over) = (Arc::clone(&member.ledger), Arc::clone(&granted), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut granted_at_ms = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    match ledger.reserve(&request(&[("b", 1)])).get().await {
                        Ok(grant) => {
                            granted_at_ms.push(grant.reserved_at_unix_ms);
                            granted.fetch_add(1, Ordering::Relaxed);
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
        Self { granted, is_over, callers }
    }

    async fn until_granted(&self, granted: u64) {
        let are_granted = async || granted <= self.granted.load(Ordering::Relaxed);
        until(60, &format!("{granted} are granted"), are_granted).await;
    }

    async fn finish(self) -> Drawn {
        self.is_over.store(true, Ordering::Relaxed);
        let granted_at_ms: Vec<_> =
            join_all(self.callers).await.into_iter().map(|caller| caller.expect("no panic")).collect();
        let each_had_some = granted_at_ms.iter().all(|caller| !caller.is_empty());
        let granted_at_ms = granted_at_ms.concat();
        let (first, last) = (granted_at_ms.iter().min().expect("some"), granted_at_ms.iter().max().expect("some"));
        println!("{} were granted in {} ms", granted_at_ms.len(), last - first);
        Drawn { granted: granted_at_ms.len() as u64, took_ms: last - first, each_had_some }
    }
}

/// What callers were granted.
struct Drawn {
    granted: u64,
    /// From the first to the last, in milliseconds of the cluster.
    took_ms: u64,
    each_had_some: bool,
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
        let Drawn { granted, took_ms, each_had_some } = drawing.finish().await;
        assert!(each_had_some);
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
    const SECONDS: u64 = 2;
    within(120, async {
        let (_shared, members) = two_members().await;
        let drawing = Drawing::start(&members);
        drawing.until_granted(CAPACITY).await;
        drawing.finish().await;
        // It is empty by now, or almost, and full after two seconds.
        sleep_ms(2_500).await;
        let drawing = Drawing::start(&members);
        sleep_ms(SECONDS * 1_000).await;
        let Drawn { granted, took_ms, .. } = drawing.finish().await;
        // All that was there, and half of what flows in: a machine that is late draws less.
        let (least, most) = (CAPACITY + PER_SECOND * SECONDS / 2, CAPACITY + most_flows_in(took_ms));
        assert!(least <= granted && granted <= most, "{granted}, and not {least} to {most}, in {took_ms} ms");
    })
    .await;
}
