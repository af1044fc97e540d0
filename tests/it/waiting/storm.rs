//! Thousands of random callers over several limits, with priorities, tenants, deadlines and cancellations: all of them
//! end, no limit is ever above its capacity, and nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tollgate::Tollgate;
use tollgate::actors::Wait;
use tollgate::config::Settings;
use tollgate::policy::{Priority, Reason};

use crate::support::place::{self, Place};
use crate::support::{concurrency, key, label, request, sleep_ms, until, within};

const KEYS: [&str; 4] = ["a", "b", "c", "t:x"];
const CAPACITY: u64 = 5;

/// What the callers really hold at once, next to what the ledger thinks.
#[derive(Default)]
struct Tally {
    in_use: [AtomicU64; KEYS.len()],
    granted: AtomicU64,
    refused: AtomicU64,
}

/// One random caller.
struct Plan {
    keys: Vec<(usize, u64)>,
    tenant: Option<&'static str>,
    wait: Wait,
    hold_ms: u64,
    completes: bool,
}

impl Plan {
    fn random(rng: &mut Rng, max_wait_ms: u64) -> Self {
        let mut keys: Vec<_> = (0..KEYS.len()).collect();
        rng.shuffle(&mut keys);
        keys.truncate(rng.usize(1..=3));
        let priority = [Priority::High, Priority::Normal, Priority::Low][rng.usize(0..3)];
        Self {
            keys: keys.into_iter().map(|key| (key, rng.u64(1..=CAPACITY))).collect(),
            tenant: [None, Some("acme"), Some("globex"), Some("initech")][rng.usize(0..4)],
            wait: Wait::at_most(Duration::from_millis(max_wait_ms)).with_priority(priority),
            hold_ms: rng.u64(0..20),
            completes: rng.bool(),
        }
    }

    async fn run(self, tollgate: Tollgate, tally: Arc<Tally>) {
        let amounts: Vec<_> = self.keys.iter().map(|(place, amount)| (KEYS[*place], *amount)).collect();
        let mut wanted = request(&amounts);
        wanted.labels.tenant = self.tenant.map(label);
        let lease = match tollgate.acquire(wanted, self.wait).await {
            Ok(lease) => lease,
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::Denied, "only its deadline ends its wait");
                tally.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        tally.granted.fetch_add(1, Ordering::Relaxed);
        let uses = Uses::begin(&self.keys, &tally.in_use);
        sleep_ms(self.hold_ms).await;
        drop(uses);
        if self.completes {
            lease.complete_with([]).await.expect("completed");
        }
    }
}

/// A use of some keys; ends when dropped, also by cancellation.
struct Uses<'a>(&'a [(usize, u64)], &'a [AtomicU64; KEYS.len()]);

impl<'a> Uses<'a> {
    fn begin(keys: &'a [(usize, u64)], in_use: &'a [AtomicU64; KEYS.len()]) -> Self {
        for (place, amount) in keys {
            let others = in_use[*place].fetch_add(*amount, Ordering::SeqCst);
            assert!(others + amount <= CAPACITY, "`{}` is above its capacity", KEYS[*place]);
        }
        Self(keys, in_use)
    }
}

impl Drop for Uses<'_> {
    fn drop(&mut self) {
        for (place, amount) in self.0 {
            self.1[*place].fetch_sub(*amount, Ordering::SeqCst);
        }
    }
}

async fn start(place: &Place) -> Tollgate {
    let settings = Settings { max_waiters: 100_000, max_waiters_total: 100_000, ..place.settings() };
    let names = ["a", "b", "c", "t:{x}"];
    let builder = Tollgate::builder().settings(settings);
    let builder = names.iter().fold(builder, |builder, name| builder.limit_fields(concurrency(name, CAPACITY, 10_000)));
    builder.start().await.expect("it starts")
}

async fn assert_nothing_left(tollgate: &Tollgate, tally: &Tally) {
    until(20, "everything is given back", async || {
        let mut is_free = (tollgate.waiting(), tollgate.totals().live_leases) == (0, 0);
        for text in KEYS {
            let usage = tollgate.usage(&key(text)).await.expect("it answers").expect("a limit");
            is_free &= usage.usage.available == CAPACITY;
        }
        is_free
    })
    .await;
    assert_eq!((tollgate.waiting(), tollgate.totals().live_leases), (0, 0));
    for (place, text) in KEYS.iter().enumerate() {
        assert_eq!(tally.in_use[place].load(Ordering::SeqCst), 0);
        let usage = tollgate.usage(&key(text)).await.expect("it answers").expect("a limit");
        assert_eq!((usage.usage.available, usage.waiters), (CAPACITY, 0), "{text}");
    }
}

/// Runs `callers`, which come in bursts; some are aborted after a random while.
async fn storm(place: &Place, seed: u64, callers: usize, max_wait_ms: u64, abort_percent: u64) -> (u64, u64) {
    println!("seed {seed}");
    let (tollgate, tally, mut rng) = (start(place).await, Arc::<Tally>::default(), Rng::with_seed(seed));
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let plan = Plan::random(&mut rng, max_wait_ms);
        let task = tokio::spawn(plan.run(tollgate.clone(), Arc::clone(&tally)));
        if rng.u64(0..100) < abort_percent {
            let (abort, after_ms) = (task.abort_handle(), rng.u64(0..200));
            tokio::spawn(async move {
                sleep_ms(after_ms).await;
                abort.abort();
            });
        }
        tasks.push(task);
        if rng.u8(0..20) == 0 {
            sleep_ms(rng.u64(0..30)).await;
        }
    }
    for task in tasks {
        if let Err(error) = task.await {
            assert!(error.is_cancelled(), "seed {seed}: {error}");
        }
    }
    // A task that gives a grant back may be on its way.
    sleep_ms(100 + place.differs.gives_back_within_ms).await;
    assert_nothing_left(&tollgate, &tally).await;
    tollgate.shutdown().await;
    (tally.granted.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed))
}

/// How many seeds, and how many callers each: where each call takes round trips, a few.
fn size(place: &Place, seeds: u64) -> (std::ops::Range<u64>, usize) {
    if place.differs.is_exact() { (0..seeds, 1_500) } else { (0..1, 300) }
}

pub(crate) async fn everybody_who_can_wait_is_served(place: Place) {
    let (seeds, callers) = size(&place, 3);
    for seed in seeds {
        let (granted, refused) = within(3_000, storm(&place, seed, callers, 10_000_000, 0)).await;
        assert_eq!((granted, refused), (callers as u64, 0), "seed {seed}");
    }
}

pub(crate) async fn deadlines_and_cancellations_leave_nothing_behind(place: Place) {
    let (seeds, callers) = size(&place, 5);
    for seed in seeds {
        let (granted, refused) = within(3_000, storm(&place, seed, callers, 400, 30)).await;
        assert!(0 < granted && 0 < refused, "seed {seed}: both happen");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn on_many_threads_everybody_is_served_and_nothing_stays_behind() {
    let place = place::memory().await;
    let (granted, refused) = within(60, storm(&place, 1, 600, 10_000_000, 0)).await;
    assert_eq!((granted, refused), (600, 0));
    within(60, storm(&place, 2, 1_000, 400, 30)).await;
}
