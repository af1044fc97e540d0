//! Addresses that are not there yet, come back, or never are.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

/// Below the ports that systems give to clients: no client can be in the way, nor meet itself while a server is gone.
/// As long as the default, so that tables are as wide.
const PORTS: std::ops::Range<u16> = 4_000..9_900;

/// The first that no test has had. A server that was killed comes back to its own, which must not be that of another
/// test by then. Other processes begin elsewhere.
static NEXT_PORT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(PORTS)));

/// Addresses whose ports follow each other, and that were all free at one moment. Each is given to one test alone.
pub(crate) fn free_addresses(count: u16) -> Vec<SocketAddr> {
    let after = |first: u16| if PORTS.contains(&(first + count)) { first + count } else { PORTS.start };
    let next = || NEXT_PORT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |first| Some(after(first)));
    let bind = |first: u16| (first..).take(count.into()).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let tried =
        std::iter::repeat_with(|| bind(next().expect("there is always a next one")).collect::<Result<Vec<_>, _>>());
    let bound = tried.take(1000).find_map(Result::ok).expect("there are free ports");
    bound.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
}

/// An address at which nobody listens. As long as the socket is there it is nobody else's, and the socket can listen.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    (socket, address)
}
