//! Waiting for capacity of a ledger that other servers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tollgate::Tollgate;
use tollgate::actors::Wait;
use tollgate::clock::Clock;
use tollgate::config::{BackendSettings, Settings, TigerBeetleSettings};
use tollgate::policy::{Amounts, DefinitionFields, Reason};

use crate::support::control::Control;
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, request, rolling, until, used, within};

const A_WHILE: Duration = Duration::from_secs(60);

async fn start(settings: &TigerBeetleSettings, limits: &[DefinitionFields]) -> Tollgate {
    let backend = BackendSettings::TigerBeetle(settings.clone());
    let builder = Tollgate::builder().settings(Settings { backend, ..Settings::default() });
    let builder = limits.iter().cloned().fold(builder, |builder, fields| builder.limit_fields(fields));
    builder.start().await.expect("a Tollgate")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_served_when_another_server_frees() {
    let shared = Server::shared().await;
    within(120, async {
        let limits = [concurrency("c", 1, 600)];
        let (here, there) = (start(&shared.settings(), &limits).await, start(&shared.settings(), &limits).await);
        let lease = there.reserve(request(&[("c", 1)])).await.expect("there is room");
        let waiting = tokio::spawn({
            let here = here.clone();
            async move { here.acquire(request(&[("c", 1)]), Wait::at_most(A_WHILE)).await }
        });
        while here.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        lease.complete(Amounts::default()).await.expect("a live lease");
        let lease = waiting.await.expect("no panic").expect("its turn");
        assert_eq!(there.reserve(request(&[("c", 1)])).await.expect_err("taken").reason, Reason::Denied);
        drop(lease);
        here.shutdown().await;
        let lease = there.reserve(request(&[("c", 1)])).await.expect("what was dropped is given back before the end");
        lease.complete(Amounts::default()).await.expect("done");
    })
    .await;
}

/// By a look each 100 ms. Of several rounds the one in the middle: once a second a look takes longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_woken_soon_after_another_server_frees() {
    const ROUNDS: usize = 9;
    const SOON: Duration = Duration::from_millis(500);
    let shared = Server::shared().await;
    within(120, async {
        let limits = [rolling("r", 1, 600), rolling("time", 100, 600)];
        let (here, there) = (start(&shared.settings(), &limits).await, start(&shared.settings(), &limits).await);
        let clock = Clock::start();
        let control = Control::start(&clock);
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let lease = there.reserve(request(&[("r", 1)])).await.expect("there is room");
            let refusal = here.reserve(request(&[("r", 1)])).await.expect_err("taken");
            assert!(8 * SOON <= refusal.retry_after, "its own next try comes much later: {refusal}");
            let tries_before = here.totals().decided;
            let waiting = tokio::spawn({
                let here = here.clone();
                async move { here.acquire(request(&[("r", 1)]), Wait::at_most(A_WHILE)).await }
            });
            let has_tried = async || here.waiting() == 1 && tries_before + 2 <= here.totals().decided;
            until(20, "it was refused, and once more in line", has_tried).await;
            let freed = clock.now();
            lease.complete(used(&[("r", 0)])).await.expect("a live lease");
            // What time it is for the cluster.
            let later = there.reserve(request(&[("time", 1)])).await.expect("there is room");
            let granted = waiting.await.expect("no panic").expect("its turn");
            let woken_ms = granted.reserved_at_unix_ms().saturating_sub(later.reserved_at_unix_ms());
            let standstill = control.standstill(freed, clock.now());
            took.push(Duration::from_millis(woken_ms).saturating_sub(standstill));
            granted.complete(used(&[("r", 0)])).await.expect("a live lease");
        }
        took.sort_unstable();
        println!("woken after {took:?}");
        assert!(took[ROUNDS / 2] <= SOON, "{took:?} after the other's completion");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_served_in_its_order_from_what_expires_by_itself() {
    let shared = Server::shared().await;
    within(120, async {
        let here = start(&shared.settings(), &[rolling("r", 3, 1)]).await;
        let served = Arc::new(AtomicUsize::new(0));
        here.reserve(request(&[("r", 3)]))
            .await
            .expect("there is room")
            .complete(Amounts::default())
            .await
            .expect("done");
        let mut waiting = Vec::new();
        for place in 0..6 {
            let (waiter, order) = (here.clone(), Arc::clone(&served));
            let before = here.waiting();
            waiting.push(tokio::spawn(async move {
                let lease = waiter.acquire(request(&[("r", 3)]), Wait::at_most(A_WHILE)).await.expect("its turn");
                assert_eq!(order.fetch_add(1, Ordering::Relaxed), place, "first come, first served");
                lease.complete(Amounts::default()).await.expect("done");
            }));
            // The next one joins once this one has: it stands in line, or somebody was served meanwhile.
            while here.waiting() <= before && served.load(Ordering::Relaxed) + here.waiting() <= place {
                tokio::task::yield_now().await;
            }
        }
        for waiter in waiting {
            waiter.await.expect("in order");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_reservation_leaves_nothing_held() {
    let shared = Server::shared().await;
    within(120, async {
        let patient = TigerBeetleSettings { deadline: A_WHILE, ..shared.settings() };
        let here = start(&patient, &[concurrency("c", 100, 600)]).await;
        for _ in 0..100 {
            let mut reserving = Box::pin(here.reserve(request(&[("c", 1)])));
            let _ = futures_util::poll!(&mut reserving);
            drop(reserving);
        }
        let usage = async || here.usage(&crate::support::key("c")).await.expect("an answer").expect("a limit").usage;
        // Each is sent all the same, and has its place in the ledger before this server knows of it.
        let left = || (here.totals().completed, here.totals().live_leases);
        until(60, "each is given back", async || left() == (100, 0)).await;
        assert_eq!(usage().await.available, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_keeps_its_place_while_all_slots_of_the_ledger_are_taken() {
    const LINES: usize = 16;
    let shared = Server::shared().await;
    within(120, async {
        let names: Vec<_> = (0..LINES).map(|n| format!("c{n}")).collect();
        let limits: Vec<_> = names.iter().map(|name| concurrency(name, 1, 600)).collect();
        let there = start(&shared.settings(), &limits).await;
        let narrow = TigerBeetleSettings { in_flight_max: 4, deadline: A_WHILE, ..shared.settings() };
        let here = start(&narrow, &limits).await;
        until(60, "its limits are in force", async || here.status().backend.not_in_force == 0).await;
        let (mut held, mut waiting) = (Vec::new(), Vec::new());
        for name in &names {
            held.push(there.reserve(request(&[(name, 1)])).await.expect("there is room"));
            // Who comes while they are taken is refused; who stands in line is not.
            let caller = loop {
                let (waiter, wanted) = (here.clone(), request(&[(name, 1)]));
                let caller = tokio::spawn(async move { waiter.acquire(wanted, Wait::at_most(A_WHILE)).await });
                until(20, "it stands in line or is refused", async || {
                    caller.is_finished() || waiting.len() < here.waiting()
                })
                .await;
                if !caller.is_finished() {
                    break caller;
                }
                assert_eq!(caller.await.expect("no panic").expect_err("taken").reason, Reason::Overloaded);
            };
            waiting.push(caller);
        }
        for lease in held {
            lease.complete(Amounts::default()).await.expect("a live lease");
        }
        for caller in waiting {
            drop(caller.await.expect("no panic").expect("its turn"));
        }
    })
    .await;
}
