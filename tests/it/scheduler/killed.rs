//! Jobs over a server that is killed and started again, twice, while they are under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate::client::{Batcher, Limiter};
use tollgate::policy::{Amounts, JobSpec, LeaseId};
use tollgate::scheduler::{ExecuteError, Executed, Job, JobEvent, Run, Scheduler, SchedulerObserver};

use super::upstream;
use crate::client::remote;
use crate::support::addresses::free_addresses;
use crate::support::server::{Home, PATIENCE_SECONDS, Server};
use crate::support::{key, sleep_ms, within};

const PROVIDERS: [&str; 3] = ["a", "b", "c"];
const SLOTS: u64 = 5;
const JOBS: usize = 450;

fn config() -> String {
    let limits = |provider| {
        format!(
            r#"
            [[limits]]
            key = "{provider}:slots"
            kind = "concurrency"
            capacity = {SLOTS}
            timeout_seconds = 2

            [[limits]]
            key = "{provider}:tokens"
            kind = "rolling"
            capacity = 1_000_000
            window_seconds = 3_600
            "#
        )
    };
    PROVIDERS.map(limits).concat()
}

/// What became of each job, and under which leases they ran.
#[derive(Default)]
struct Seen {
    ends: Mutex<HashMap<String, usize>>,
    ran: Mutex<HashMap<LeaseId, usize>>,
}

impl Seen {
    fn ended(&self) -> usize {
        self.ends.lock().expect("nobody panics").len()
    }

    /// A job like many: a few milliseconds, and less used than was reserved.
    fn submit(self: &Arc<Self>, scheduler: &Scheduler, n: usize) -> tollgate::scheduler::JobHandle<usize> {
        let provider = PROVIDERS[n % PROVIDERS.len()];
        let [slots, tokens] = ["slots", "tokens"].map(|limit| key(&format!("{provider}:{limit}")));
        let needs = Amounts::to_reserve([(slots, 1), (tokens.clone(), 10)]).expect("good amounts");
        let seen = Arc::clone(self);
        let call = move |run: Run| async move {
            *seen.ran.lock().expect("nobody panics").entry(run.lease_id).or_default() += 1;
            sleep_ms(4).await;
            let used = Amounts::used([(tokens, 3)]).expect("good amounts");
            Ok::<_, ExecuteError>(Executed::new(n).used(used))
        };
        let deadline = Duration::from_secs(PATIENCE_SECONDS);
        scheduler.submit(Job::new(upstream(provider), needs, call).deadline(deadline)).expect("room")
    }
}

impl SchedulerObserver for Seen {
    fn observe(&self, job: &JobSpec, event: &JobEvent<'_>) {
        if let JobEvent::Ended(_) = event {
            *self.ends.lock().expect("nobody panics").entry(job.id.as_str().to_owned()).or_default() += 1;
        }
    }
}

/// In place of a server that is killed, at the same address.
async fn killed_and_started_again(server: Server, home: &Home) -> Server {
    let address = server.address.to_string();
    server.crash().await;
    sleep_ms(100).await;
    Server::start(home.serve_at(&address)).await
}

/// The books are in the server's memory: what is held by those who ran when it was killed, nobody knows any more.
async fn check(wrap: fn(Arc<dyn Limiter>) -> Arc<dyn Limiter>) {
    let home = Home::new(&config());
    let mut server = Server::start(home.serve_at(&free_addresses(1)[0].to_string())).await;
    let seen = Arc::new(Seen::default());
    let limiter = wrap(Arc::new(remote(server.address)));
    let builder = Scheduler::builder(limiter).observer(Arc::<Seen>::clone(&seen));
    let scheduler = builder.start().await.expect("it starts");
    let handles: Vec<_> = (0..JOBS).map(|n| seen.submit(&scheduler, n)).collect();
    for done in [JOBS / 4, JOBS / 2] {
        within(PATIENCE_SECONDS, async {
            while seen.ended() < done {
                sleep_ms(1).await;
            }
        })
        .await;
        server = killed_and_started_again(server, &home).await;
    }
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(within(PATIENCE_SECONDS, handle).await.expect("it runs"), n);
    }
    within(PATIENCE_SECONDS, seen.submit(&scheduler, JOBS)).await.expect("it goes on with new ones");

    let totals = scheduler.status().totals;
    assert_eq!((totals.succeeded, totals.failed), (JOBS as u64 + 1, 0));
    assert!(0 < totals.unknown, "some were asked when no server was there");
    let ends = seen.ends.lock().expect("nobody panics").clone();
    assert!(ends.len() == JOBS + 1 && ends.values().all(|times| *times == 1), "each ended once: {ends:?}");
    let ran = seen.ran.lock().expect("nobody panics").clone();
    assert_eq!((ran.len(), ran.values().sum::<usize>()), (JOBS + 1, JOBS + 1), "no lease was granted to two");

    let client = server.client();
    within(PATIENCE_SECONDS, async {
        while client.read("/v1/status").await["backend"]["live_leases"] != 0 {
            sleep_ms(2).await;
        }
    })
    .await;
    for provider in PROVIDERS {
        assert_eq!(client.read(&format!("/v1/limits/{provider}:slots")).await["available"], SLOTS);
    }
    let report = within(PATIENCE_SECONDS, scheduler.shutdown(Duration::ZERO)).await;
    assert!(report.left_behind.is_empty());
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_by_one_every_job_ends_once_and_nothing_is_left() {
    check(|limiter| limiter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_batches_every_job_ends_once_and_nothing_is_left() {
    check(|limiter| Arc::new(Batcher::new(limiter, &Default::default()))).await;
}
