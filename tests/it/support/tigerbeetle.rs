//! Real TigerBeetle servers.
//! They run in real time; a test that starts some must not pause the clock.

mod binary;
mod keeper;
mod keeper_tests;
pub(crate) mod way;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tollgate::config::TigerBeetleSettings;

use super::addresses::free_addresses;
use super::within;
use binary::{OURS, Release, TigerBeetle};
use keeper::Keeper;

/// Half the memory (1.45 GiB each), and room for eight clients.
const OPTIONS: &[&str] = &["--development"];

/// Too old for our client, and too new.
pub(crate) const OLDER: Release = Release { variable: "TB_OLDER_BIN", folder: "tigerbeetle-0.16.77" };
pub(crate) const NEWER: Release = Release { variable: "TB_NEWER_BIN", folder: "tigerbeetle-0.16.79" };

/// How long a server may take until it listens. It is 1.5 s where nothing else runs.
const PATIENCE_SECONDS: u64 = 60;

/// The shared server can have eight clients; one that went counts a moment longer.
static CLIENTS: Semaphore = Semaphore::const_new(6);
static SHARED: OnceCell<Server> = OnceCell::const_new();
static LEDGERS: AtomicU32 = AtomicU32::new(1);

/// How many servers beside it have room in memory.
static ROOM: Semaphore = Semaphore::const_new(4);
pub(crate) type Room = Arc<SemaphorePermit<'static>>;

/// The server that tests share, as one of them has it.
pub(crate) struct Shared {
    server: &'static Server,
    ledger: u32,
    _clients: SemaphorePermit<'static>,
}

impl Shared {
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// One that no other test has.
    pub(crate) fn ledger(&self) -> u32 {
        self.ledger
    }

    /// One more of these.
    pub(crate) fn another_ledger(&self) -> u32 {
        LEDGERS.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn settings(&self) -> TigerBeetleSettings {
        TigerBeetleSettings { ledger: self.ledger, ..self.server.settings() }
    }
}

/// One replica. Its process and its file go with it, and with the test process.
pub(crate) struct Server {
    keeper: Arc<Mutex<Keeper>>,
    index: usize,
    addresses: Arc<[SocketAddr]>,
    _room: Option<Room>,
}

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Started {
    Listens,
    /// Its address, or what the process before it held of its file, is not free.
    IsTaken,
}

impl Server {
    /// The server of all tests, for one with up to three clients. Who has it asks for no more of it.
    pub(crate) async fn shared() -> Shared {
        Self::shared_by(3).await
    }

    /// The same for a test with so many clients: with fewer it waits for fewer others. The first test starts it.
    pub(crate) async fn shared_by(clients: u32) -> Shared {
        let clients = CLIENTS.acquire_many(clients).await.expect("it is never closed");
        let server = SHARED.get_or_init(async || start(OURS, 1, None).await.remove(0)).await;
        Shared { server, ledger: LEDGERS.fetch_add(1, Ordering::Relaxed), _clients: clients }
    }

    /// A server for one test, which may do to it what it likes. The test starts no other one while it has this one.
    pub(crate) async fn start() -> Self {
        Self::start_of(OURS).await
    }

    /// The same, of another release.
    pub(crate) async fn start_of(release: Release) -> Self {
        start(release, 1, Some(room(1).await)).await.remove(0)
    }

    /// Where all replicas of its cluster are, in their order.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[self.index]
    }

    /// The way to its cluster, with a deadline that a test on a slow machine keeps.
    pub(crate) fn settings(&self) -> TigerBeetleSettings {
        let addresses = self.addresses.to_vec();
        TigerBeetleSettings { addresses, deadline: Duration::from_secs(10), ..TigerBeetleSettings::default() }
    }

    /// Ends it without a warning. It is gone when this returns.
    pub(crate) async fn kill(&self) {
        self.tell("kill").await;
        // The kernel closes what a process did with io_uring a moment after the process has gone.
        let closed = async { while TcpStream::connect(self.address()).await.is_ok() {} };
        within(PATIENCE_SECONDS, closed).await;
    }

    /// Runs it at the same address with the same file. It listens when this returns.
    pub(crate) async fn restart(&self) {
        self.kill().await;
        within(PATIENCE_SECONDS, async { while self.run().await == Started::IsTaken {} }).await;
    }

    /// The same, and it answers when this returns: first it does again what its log says, and asks the others of its
    /// cluster.
    pub(crate) async fn recover(&self) {
        let before = self.recoveries();
        self.restart().await;
        within(PATIENCE_SECONDS, async {
            while self.recoveries() == before {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// How often it has begun to answer, or went on after an election.
    fn recoveries(&self) -> usize {
        self.log().matches(": transition_to_normal_from_").count()
    }

    /// Lets it do nothing; its connections stay open.
    pub(crate) async fn stop(&self) {
        self.tell("stop").await;
    }

    /// Lets it go on.
    pub(crate) async fn cont(&self) {
        self.tell("cont").await;
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        self.keeper.lock().expect("no panic").log()
    }

    fn format(release: Release, index: usize, addresses: &Arc<[SocketAddr]>, room: Option<Room>) -> Self {
        let tigerbeetle = TigerBeetle::find(release, OPTIONS);
        let folder = tempfile::Builder::new().prefix("tigerbeetle-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.expect("a directory").keep();
        let file = folder.join("data");
        let keeper = Keeper::new(&folder, &tigerbeetle.start(addresses, &file));
        tigerbeetle.format(index, addresses.len(), &file);
        Self { keeper: Arc::new(Mutex::new(keeper)), index, addresses: Arc::clone(addresses), _room: room }
    }

    async fn run(&self) -> Started {
        let length_before = self.log().len();
        self.tell("start").await;
        let started = async {
            loop {
                let log = self.log();
                let log = &log[length_before..];
                if log.contains(": listening on ") {
                    return Started::Listens;
                }
                // The kernel frees the file, as the address, a moment after the process has gone.
                let taken = ["error: AddressInUse", "panic: another process holds the data file lock"];
                if taken.iter().any(|why| log.contains(why)) {
                    return Started::IsTaken;
                }
                assert!(![" panic: ", " error: "].iter().any(|end| log.contains(end)), "it does not start:\n{log}");
                sleep(Duration::from_millis(5)).await;
            }
        };
        let started = timeout(Duration::from_secs(PATIENCE_SECONDS), started).await;
        started.unwrap_or_else(|_| panic!("it does not listen:\n{}", self.log()))
    }

    async fn tell(&self, word: &'static str) {
        let keeper = Arc::clone(&self.keeper);
        let told = spawn_blocking(move || keeper.lock().expect("no panic").tell(word));
        within(PATIENCE_SECONDS, told).await.expect("no panic");
    }
}

/// Replicas on one machine.
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Server>,
}

impl Cluster {
    /// A cluster for one test, as [`Server::start`] is.
    pub(crate) async fn start(replicas: u16) -> Self {
        Self { replicas: start(OURS, replicas, Some(room(replicas).await)).await }
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.replicas[0].addresses()
    }

    pub(crate) fn settings(&self) -> TigerBeetleSettings {
        self.replicas[0].settings()
    }

    /// The replica that leads now, as far as its log says.
    pub(crate) fn primary(&self) -> &Server {
        let view_led = |server: &Server| {
            let log = server.log();
            let leads = |line: &&str| line.contains(": transition_to_normal_") && line.ends_with(" primary");
            let view = log.lines().rfind(leads).and_then(|line| line.rsplit(['=', '.', ' ']).nth(1));
            view.and_then(|view| view.parse::<u32>().ok())
        };
        let led = self.replicas.iter().filter_map(|server| Some((view_led(server)?, server)));
        led.max_by_key(|(view, _)| *view).expect("one of them leads").1
    }
}

/// Waits for room in memory for so many servers. A test that has some asks for no more.
pub(crate) async fn room(servers: u16) -> Room {
    Arc::new(ROOM.acquire_many(servers.into()).await.expect("it is never closed"))
}

/// The replicas of a new cluster, at addresses that were free a moment before; else at others.
async fn start(release: Release, count: u16, room: Option<Room>) -> Vec<Server> {
    loop {
        let room = room.clone();
        let formatted = spawn_blocking(move || {
            let addresses: Arc<[_]> = free_addresses(count).into();
            let format = |index| Server::format(release, index, &addresses, room.clone());
            (0..addresses.len()).map(format).collect::<Vec<_>>()
        });
        let servers = formatted.await.expect("no panic");
        let started = join_all(servers.iter().map(Server::run)).await;
        if started.iter().all(|started| *started == Started::Listens) {
            return servers;
        }
    }
}
