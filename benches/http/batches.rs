//! The client's side: reservations that callers make at the same time, sent together by a `Batcher` or each by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollgate::Tollgate;
use tollgate::client::{BaseUrl, BatchSettings, Batcher, HttpLimiter, Limiter, RemoteSettings};
use tollgate::policy::{LeaseId, Reserve};

use crate::support::{Options, Row, heading, medians};
use crate::{OURS, complete, measure};

/// As many as one batch has, and more than it has.
const CALLERS: [usize; 2] = [128, 512];
const REQUESTS_PER_CALLER: usize = 10;

const AMOUNTS: [(&str, u64); 4] = [
    ("global:llm:openai:gpt-4o:rpm", 1),
    ("global:llm:openai:gpt-4o:tpm", 1_500),
    ("global:llm:openai:gpt-4o:concurrency", 1),
    ("tenant:acme:llm:daily_tokens", 1_500),
];

/// One reservation after the other by each caller; says which leases were granted.
async fn round(limiter: &Arc<dyn Limiter>, callers: usize) -> Vec<LeaseId> {
    let mut asking = JoinSet::new();
    for _ in 0..callers {
        let limiter = Arc::clone(limiter);
        asking.spawn(async move {
            let mut leases = Vec::with_capacity(REQUESTS_PER_CALLER);
            for _ in 0..REQUESTS_PER_CALLER {
                let request = Reserve::of(AMOUNTS).expect("good keys");
                leases.push(limiter.reserve(request.into()).await.expect("there is room").lease_id);
            }
            leases
        });
    }
    asking.join_all().await.concat()
}

/// Measures both ways, and prints the table; says how many leases were granted.
pub(crate) fn run(options: Options, clients: &Runtime, tollgate: &Tollgate, address: SocketAddr) -> u64 {
    let base_url = BaseUrl::parse(&format!("http://{address}")).expect("a good URL");
    let _inside = clients.enter();
    let single: Arc<dyn Limiter> = Arc::new(HttpLimiter::new(&RemoteSettings::new(base_url)).expect("a good URL"));
    let settings = BatchSettings::default();
    let batched: Arc<dyn Limiter> = Arc::new(Batcher::new(Arc::clone(&single), &settings));
    let mut granted = 0;
    let title = format!("HTTP client: batches of up to {}, reserve over 4 keys", settings.size);
    heading(options, &title);
    for callers in CALLERS {
        let requests = callers * REQUESTS_PER_CALLER;
        let mut side = |limiter| {
            let (figures, leases) = measure(clients, OURS, requests, round(limiter, callers));
            granted += leases.len() as u64;
            complete(clients, tollgate, leases);
            figures
        };
        let [ours_per_second, single_per_second, our_cpu, single_cpu] = medians(options.or_quick(101, 3), || {
            let [ours_per_second, our_cpu] = side(&batched);
            let [single_per_second, single_cpu] = side(&single);
            [ours_per_second, single_per_second, our_cpu, single_cpu]
        });
        let row = |name: &str, unit, ours, theirs| {
            Row { name, unit, ours, comparator: Some(("one by one", theirs)), wanted: "" }.print(options);
        };
        row(&format!("{callers} callers"), "per s", ours_per_second, single_per_second);
        row("the server's processor time for one", "µs", our_cpu, single_cpu);
    }
    granted
}
