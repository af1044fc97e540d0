//! A cluster of our own: real servers on free ports of this machine, with files that go when they do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::sleep;
use std::time::Duration;

use super::binary::{OURS, TigerBeetle};
use super::keeper::Keeper;

/// How long the servers may take until they listen.
const POLLS_MAX: usize = 6_000;
const POLL: Duration = Duration::from_millis(10);

/// Below the ports that systems give to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Its processes end when it is dropped, and with this process.
pub(crate) struct Cluster {
    pub(crate) addresses: Vec<SocketAddr>,
    _replicas: Vec<Keeper>,
}

impl Cluster {
    /// So many replicas of one cluster, run with `options`.
    pub(crate) fn start(replicas: usize, options: &'static [&'static str]) -> Self {
        let server = TigerBeetle::find(OURS, options);
        let addresses = free_addresses(replicas);
        let run = |index| {
            let folder = tempfile::Builder::new().prefix("tigerbeetle-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
            let folder = folder.expect("a directory").keep();
            let file = folder.join("data");
            let mut keeper = Keeper::new(&folder, &server.start(&addresses, &file));
            server.format(index, replicas, &file);
            keeper.tell("start");
            keeper
        };
        let replicas: Vec<_> = (0..replicas).map(run).collect();
        replicas.iter().for_each(wait_until_it_listens);
        Self { addresses, _replicas: replicas }
    }
}

fn wait_until_it_listens(replica: &Keeper) {
    let listens = |_| {
        sleep(POLL);
        replica.log().contains(": listening on ")
    };
    assert!((0..POLLS_MAX).any(listens), "TigerBeetle does not start:\n{}", replica.log());
}

/// All are bound before the first is given up, so that they differ.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let tried = std::iter::repeat_with(|| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))));
    let bound: Vec<_> = tried.take(1_000).flatten().take(count).collect();
    assert_eq!(bound.len(), count, "there are free ports");
    bound.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
}
