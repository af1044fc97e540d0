//! Who stands in line when the cluster stops keeps its place, and is served when the cluster goes on.

use std::time::Duration;

use tokio::task::JoinHandle;
use tollgate::actors::Wait;
use tollgate::backends::Health;
use tollgate::clock::Clock;
use tollgate::policy::{Amounts, LeaseError, Reason, Refusal};
use tollgate::{Lease, Tollgate};

use super::{DEADLINE, start, until_all_is_free};
use crate::support::control::Control;
use crate::support::tigerbeetle::Server;
use crate::support::{concurrency, request, sleep_ms, until, within};

const SERVED_MAX: Duration = Duration::from_secs(2);

/// Beyond a deadline and the lateness of the machine.
const SLACK: Duration = Duration::from_millis(10);

/// The slot, which is free: who is not answered in time, as may be on a busy machine, asks again.
async fn take_slot(tollgate: &Tollgate) -> Lease {
    let asked = request(&[("c", 1)]);
    loop {
        match tollgate.reserve(asked.clone()).await {
            Ok(lease) => return lease,
            Err(refusal) => assert!(matches!(refusal.reason, Reason::BackendError(_)), "{refusal}"),
        }
        sleep_ms(20).await;
    }
}

/// Gives it back, now or, where the machine is late, as soon as the cluster does what it was asked.
async fn give_back(lease: Lease) {
    let ended = lease.complete(Amounts::default()).await;
    assert!(matches!(ended, Ok(()) | Err(LeaseError::Backend(_))), "{ended:?}");
}

/// Somebody who stands in line. Who is not answered in time before that asks again.
async fn waiter(tollgate: &Tollgate, seconds: u64) -> JoinHandle<Result<Lease, Box<Refusal>>> {
    let asked = request(&[("c", 1)]);
    loop {
        let (waiter, asked, wait) = (tollgate.clone(), asked.clone(), Wait::at_most(Duration::from_secs(seconds)));
        let waiting = tokio::spawn(async move { waiter.acquire(asked, wait).await });
        until(20, "it stands in line", async || tollgate.waiting() == 1 || waiting.is_finished()).await;
        if !waiting.is_finished() {
            return waiting;
        }
        let refusal = waiting.await.expect("no panic").expect_err("there is no room");
        assert!(matches!(refusal.reason, Reason::BackendError(_)), "{refusal}");
    }
}

/// What it waits for is given back while nobody answers, here or at another server. In the longer outage the clients of
/// both are replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_when_the_cluster_stops_is_served_when_it_goes_on() {
    let server = Server::start().await;
    within(150, async {
        let limits = [concurrency("c", 1, 3_600)];
        let (here, there) = (start(server.settings(), &limits).await, start(server.settings(), &limits).await);
        let clock = Clock::start();
        let control = Control::start(&clock);
        for (holder, outage_seconds) in [(&here, 1), (&there, 2), (&here, 12), (&there, 12)] {
            until(20, "it is up", async || [&here, &there].iter().all(|one| one.health() == Health::Up)).await;
            let lease = take_slot(holder).await;
            let waiting = waiter(&here, 60).await;
            server.stop().await;
            // Nobody says whether it is done: it is done when the cluster goes on.
            lease.complete(Amounts::default()).await.expect_err("no answer");
            until(20, "it is away", async || matches!(here.health(), Health::Down(_))).await;
            sleep_ms(outage_seconds * 1_000).await;
            assert_eq!(here.waiting(), 1, "an outage costs nobody a place in line");
            let back = clock.now();
            server.cont().await;
            let granted = waiting.await.expect("no panic").expect("its turn");
            let served = clock.now();
            let (took, lateness) = (served.since(back), control.lateness(back, served));
            println!("away for {outage_seconds} s: served after {took:?}, of which {lateness:?} were the machine's");
            assert!(
                took <= SERVED_MAX + lateness,
                "{took:?} after an outage of {outage_seconds} s, late: {lateness:?}"
            );
            give_back(granted).await;
            until_all_is_free(&here, &limits).await;
        }
    })
    .await;
}

/// What it asked in vain is granted in a short moment in which it does not ask: it must not be given back before it can
/// ask again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_while_the_cluster_comes_and_goes_is_served() {
    let server = Server::start().await;
    within(150, async {
        let limits = [concurrency("c", 1, 3_600)];
        let (here, there) = (start(server.settings(), &limits).await, start(server.settings(), &limits).await);
        for moment_ms in [10, 20, 30, 40, 50, 60] {
            until(20, "it is up", async || [&here, &there].iter().all(|one| one.health() == Health::Up)).await;
            let lease = take_slot(&there).await;
            let waiting = waiter(&here, 60).await;
            server.stop().await;
            lease.complete(Amounts::default()).await.expect_err("no answer");
            until(20, "it is away", async || matches!(here.health(), Health::Down(_))).await;
            sleep_ms(500).await;
            server.cont().await;
            sleep_ms(moment_ms).await;
            server.stop().await;
            // Longer than a grant is kept for whoever asks again.
            sleep_ms(2_500).await;
            server.cont().await;
            drop(waiting.await.expect("no panic").expect("its turn"));
            until_all_is_free(&here, &limits).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_no_longer_than_the_cluster_is_away_is_told_so_and_has_nothing() {
    const WAIT_SECONDS: u64 = 3;
    let server = Server::start().await;
    within(150, async {
        let limits = [concurrency("c", 1, 3_600)];
        let tollgate = start(server.settings(), &limits).await;
        let clock = Clock::start();
        let control = Control::start(&clock);
        let lease = take_slot(&tollgate).await;
        let began = clock.now();
        let waiting = waiter(&tollgate, WAIT_SECONDS).await;
        let joined = clock.now();
        server.stop().await;
        // The cluster takes this before what the one in line asks, and grants that when nobody waits any more.
        lease.complete(Amounts::default()).await.expect_err("no answer");
        let refusal = waiting.await.expect("no panic").expect_err("nobody decides");
        let ended = clock.now();
        assert!(matches!(refusal.reason, Reason::BackendError(_)), "{refusal}");
        let (took, lateness) = (ended.since(joined), control.lateness(began, ended));
        let most = Duration::from_secs(WAIT_SECONDS) + DEADLINE + SLACK;
        assert!(took <= most + lateness, "{took:?}, of which {lateness:?} were the machine's");
        server.cont().await;
        until_all_is_free(&tollgate, &limits).await;
        give_back(take_slot(&tollgate).await).await;
        until_all_is_free(&tollgate, &limits).await;
    })
    .await;
}
