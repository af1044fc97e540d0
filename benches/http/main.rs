//! `POST /v1/reserve` over four keys against a bare axum route that reads and answers the same JSON, deciding nothing;
//! and the client's batches against its single calls. Each server has a runtime of its own with one thread, the clients
//! have a third; both sides take turns.

mod bare;
mod batches;
mod client;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use client::Clients;
use support::{Options, Row, concurrency, heading, medians, proc, rolling, timed};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tollgate::Tollgate;
use tollgate::policy::{Amounts, Complete, LeaseId};

const CONNECTIONS: usize = 32;
const REQUESTS_PER_CONNECTION: usize = 50;
const REQUESTS: usize = CONNECTIONS * REQUESTS_PER_CONNECTION;
const PLENTY: u64 = 1 << 50;
const OURS: &str = "tollgate-http";
const BARE: &str = "bare-http";
const CLIENTS: &str = "clients";

fn one_thread(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().expect("a runtime")
}

async fn start_ours(listener: TcpListener) -> Tollgate {
    let limits = [
        rolling("global:llm:openai:gpt-4o:rpm", PLENTY, 1),
        rolling("global:llm:openai:gpt-4o:tpm", PLENTY, 1),
        concurrency("global:llm:openai:gpt-4o:concurrency", PLENTY),
        rolling("tenant:{tenant}:llm:daily_tokens", PLENTY, 1),
    ];
    let builder = limits.into_iter().fold(Tollgate::builder(), |builder, limit| builder.limit(limit));
    let tollgate = builder.start().await.expect("a Tollgate");
    let serving = tollgate.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await.expect("a server") });
    tollgate
}

fn listen(runtime: &Runtime) -> (TcpListener, SocketAddr) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Requests a second, and microseconds of the server's processor time for each.
fn measure(
    runtime: &Runtime,
    server: &str,
    requests: usize,
    asking: impl Future<Output = Vec<LeaseId>>,
) -> ([f64; 2], Vec<LeaseId>) {
    let before = proc::cpu_time(server);
    let (time, leases) = timed(|| runtime.block_on(asking));
    let cpu = proc::cpu_time(server) - before;
    ([requests as f64 / time.as_secs_f64(), cpu.as_nanos() as f64 / 1e3 / requests as f64], leases)
}

/// Outside the time: else the table of leases would fill with live ones.
fn complete(runtime: &Runtime, tollgate: &Tollgate, leases: Vec<LeaseId>) {
    for lease_id in leases {
        let request = Complete { lease_id, actuals: Amounts::default() };
        runtime.block_on(tollgate.complete(request)).expect("a lease");
    }
}

fn main() {
    let options = Options::read();
    let (ours, bare, clients) = (one_thread(OURS), one_thread(BARE), one_thread(CLIENTS));
    let (listener, our_address) = listen(&ours);
    let tollgate = ours.block_on(ours.spawn(start_ours(listener))).expect("a start");
    let (listener, bare_address) = listen(&bare);
    bare.spawn(bare::serve(listener));

    let mut to_ours = clients.block_on(Clients::connect(our_address, CONNECTIONS));
    let mut to_bare = clients.block_on(Clients::connect(bare_address, CONNECTIONS));
    let mut granted = 0;
    let round = || {
        let ([ours_per_second, our_cpu], leases) =
            measure(&clients, OURS, REQUESTS, to_ours.round(REQUESTS_PER_CONNECTION));
        let ([bare_per_second, bare_cpu], _) =
            measure(&clients, BARE, REQUESTS, to_bare.round(REQUESTS_PER_CONNECTION));
        granted += leases.len() as u64;
        complete(&clients, &tollgate, leases);
        [ours_per_second, bare_per_second, our_cpu, bare_cpu]
    };
    let [ours_per_second, bare_per_second, our_cpu, bare_cpu] = medians(options.or_quick(301, 3), round);

    heading(options, "HTTP: `POST /v1/reserve` over 4 keys, 32 connections");
    let row = |name, unit, ours, theirs, wanted| {
        Row { name, unit, ours, comparator: Some(("bare axum", theirs)), wanted }.print(options);
    };
    row("requests", "per s", ours_per_second, bare_per_second, "≥ 0.75");
    row("the server's processor time for one", "µs", our_cpu, bare_cpu, "");
    granted += batches::run(options, &clients, &tollgate, our_address);
    assert_eq!(tollgate.totals().granted, granted, "every request was granted");
}
