//! The books in TigerBeetle: reserve and complete over four keys through the handle, and `POST /v1/reserve`, against
//! the library's client that sends the same chains to the same cluster. Starts real servers and ends them.

#[path = "../../tests/it/support/tigerbeetle/binary.rs"]
mod binary;
mod callers;
#[path = "../http/client.rs"]
mod client;
mod cluster;
#[path = "../../tests/it/support/tigerbeetle/keeper.rs"]
mod keeper;
mod ours;
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use callers::{Load, Round, Work, round, totals};
use client::Clients;
use cluster::Cluster;
use ours::Ours;
use raw::Raw;
use support::{CONCURRENCY_TIMEOUT_SECONDS, Options, Row, heading, timed};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const KEYS: [&str; 4] = [
    "global:llm:openai:gpt-4o:rpm",
    "global:llm:openai:gpt-4o:tpm",
    "global:llm:openai:gpt-4o:concurrency",
    "tenant:acme:llm:daily_tokens",
];
/// What a call reserves of each.
const NEEDED: [u64; 4] = [1, 1_500, 1, 1_500];
/// What it used of each in the end, if that is less.
const USED: [Option<u64>; 4] = [None, Some(900), Some(0), Some(900)];
/// Nothing ends by itself while it is measured. What is held at once ends first: the cluster looks again for what is
/// to end when that is given back.
const WINDOW_SECONDS: u32 = 86_400;
const TIMEOUTS_SECONDS: [u32; 4] = [WINDOW_SECONDS, WINDOW_SECONDS, CONCURRENCY_TIMEOUT_SECONDS, WINDOW_SECONDS];
const PLENTY: u64 = 1 << 50;

const ONE: Load = Load { callers: 1, each: 200 };
const FEW: Load = Load { callers: 8, each: 100 };
const MANY: [Load; 3] =
    [Load { callers: 64, each: 32 }, Load { callers: 256, each: 16 }, Load { callers: 1_024, each: 8 }];
const CONNECTIONS: Load = Load { callers: 32, each: 50 };
const ROUNDS: usize = 31;

/// A server at work has all its memory, and takes large packets; three of them on one machine have less.
const PRODUCTION: &[&str] = &[];
const DEVELOPMENT: &[&str] = &["--development"];

const RAW: &str = "raw client";

/// Both sides, on one cluster.
struct Sides {
    options: Options,
    ours: Arc<Ours>,
    raw: Arc<Raw>,
    runtime: Runtime,
    _cluster: Cluster,
}

impl Sides {
    fn start(options: Options, cluster: Cluster) -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let raw = Arc::new(runtime.block_on(Raw::connect(&cluster.addresses)));
        let ours = Arc::new(runtime.block_on(Ours::start(&cluster.addresses)));
        Self { options, ours, raw, runtime, _cluster: cluster }
    }

    /// Callers that all do the same, on either side in turn.
    fn compare(&self, load: Load, work: Work, name: &str, wanted: &str) {
        let load = Load { each: self.options.or_quick(load.each, 2), ..load };
        let [ours, raw] = totals(
            self.options.or_quick(ROUNDS, 1),
            || round(&self.runtime, &self.ours, load, work),
            || round(&self.runtime, &self.raw, load, work),
        );
        if load.callers == 1 {
            self.print(&format!("{name}, one caller, p50"), "µs", ours.p50_us, raw.p50_us, wanted);
        } else {
            let name = format!("{name}, {} callers", load.callers);
            self.print(&name, "per s", ours.per_second, raw.per_second, wanted);
        }
        self.print("the client's processor time for one", "µs", ours.cpu_us, raw.cpu_us, "");
    }

    fn print(&self, name: &str, unit: &str, ours: f64, raw: f64, wanted: &str) {
        Row { name, unit, ours, comparator: Some((RAW, raw)), wanted }.print(self.options);
    }

    /// Over HTTP; the other side has no HTTP in front.
    fn compare_http(&self) {
        let load = Load { each: self.options.or_quick(CONNECTIONS.each, 2), ..CONNECTIONS };
        let address = self.runtime.block_on(self.serve());
        let mut clients = self.runtime.block_on(Clients::connect(address, load.callers));
        let over_http = || {
            let (time, leases) = timed(|| self.runtime.block_on(clients.round(load.each)));
            let (calls, seconds) = (leases.len() as f64, time.as_secs_f64());
            self.runtime.block_on(self.ours.complete_by_id(leases));
            Round { calls, seconds, ..Round::default() }
        };
        let raw = || round(&self.runtime, &self.raw, load, Work::Reserve);
        let [ours, raw] = totals(self.options.or_quick(ROUNDS, 1), over_http, raw);
        self.print("`POST /v1/reserve`, 32 connections", "per s", ours.per_second, raw.per_second, "");
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = self.ours.tollgate.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await.expect("a server") });
        address
    }
}

fn main() {
    let options = Options::read();
    {
        let sides = Sides::start(options, Cluster::start(1, PRODUCTION));
        heading(options, "The books in TigerBeetle, one replica: reserve over 4 keys");
        sides.compare(ONE, Work::Reserve, "reserve", "≤ 1.15");
        sides.compare(FEW, Work::Reserve, "reserve", "");
        MANY.into_iter().for_each(|load| sides.compare(load, Work::Reserve, "reserve", "≥ 0.9"));
        heading(options, "The same, with the completion after it");
        sides.compare(ONE, Work::Pair, "reserve + complete", "");
        MANY.into_iter().for_each(|load| sides.compare(load, Work::Pair, "reserve + complete", ""));
        heading(options, "Over HTTP");
        sides.compare_http();
    }
    let sides = Sides::start(options, Cluster::start(3, DEVELOPMENT));
    heading(options, "Three replicas on this machine, with development settings");
    sides.compare(ONE, Work::Reserve, "reserve", "");
    sides.compare(MANY[0], Work::Reserve, "reserve", "");
}
