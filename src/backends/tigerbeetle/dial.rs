//! Looks at the cluster's addresses from outside: who listens there, and what it says. Blocks; not for async code.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest way to an address of a private network, many times over.
const DIAL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a listener gets to react to a knock.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A set of addresses, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach(pub(super) u8);

impl Reach {
    pub(super) const NOWHERE: Self = Self(0);

    /// The first `count` addresses; the library takes six at the most.
    pub(super) fn first(count: usize) -> Self {
        Self((0..count).fold(0, |bits, index| bits | 1 << index))
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The addresses that were looked at.
    pub(super) at: Reach,
    /// Those of them that take connections.
    pub(super) open: Reach,
}

/// Which addresses `at` these places take connections.
pub(super) fn dial(addresses: &[SocketAddr], at: Reach) -> Look {
    let mut look = Look { at: Reach::NOWHERE, open: Reach::NOWHERE };
    for (index, address) in addresses.iter().enumerate().filter(|(index, _)| at.has(*index)) {
        let bit = Reach(1 << index);
        look.at = look.at.with(bit);
        if TcpStream::connect_timeout(address, DIAL_TIMEOUT).is_ok() {
            look.open = look.open.with(bit);
        }
    }
    look
}

/// What happens when somebody who is no client of TigerBeetle speaks to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Knock {
    /// Nobody takes the connection.
    Refused,
    /// Something that is not TigerBeetle speaks: the beginning of what it says.
    Answered(String),
    /// The connection was closed without a word, as TigerBeetle does.
    Closed,
    /// Nothing.
    Silent,
}

/// Speaks HTTP to `address`, with more bytes than a header of TigerBeetle has, so that it sees nonsense at once.
pub(super) fn knock(address: &SocketAddr) -> Knock {
    let Ok(mut stream) = TcpStream::connect_timeout(address, KNOCK_TIMEOUT) else { return Knock::Refused };
    let request = format!("GET / HTTP/1.0\r\nX-Padding: {}\r\n\r\n", "-".repeat(512));
    let mut answer = [0; 64];
    let read = stream
        .set_read_timeout(Some(KNOCK_TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(KNOCK_TIMEOUT)))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| stream.read(&mut answer));
    match read {
        Ok(0) => Knock::Closed,
        Ok(length) => Knock::Answered(first_line(&answer[..length])),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Knock::Silent,
        Err(_) => Knock::Closed,
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take_while(|char| !char.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address where nobody listens.
    fn nobody() -> SocketAddr {
        listener().1
    }

    #[test]
    fn each_address_has_a_bit() {
        let (_listening, there) = listener();
        let look = |at, open| Look { at: Reach(at), open: Reach(open) };
        assert_eq!(dial(&[nobody(), there, nobody()], Reach::first(3)), look(0b111, 0b010));
        assert_eq!(dial(&[there; 6], Reach(0b10_0001)), look(0b10_0001, 0b10_0001));
        assert_eq!(Reach(0b011).without(Reach(0b110)), Reach(0b001));
    }

    #[test]
    fn a_knock_tells_who_is_there() {
        let answered_by = |say: fn(TcpStream)| {
            let (listening, address) = listener();
            let server = thread::spawn(move || say(listening.accept().unwrap().0));
            let knock = knock(&address);
            server.join().unwrap();
            knock
        };
        assert_eq!(knock(&nobody()), Knock::Refused);
        assert_eq!(answered_by(drop), Knock::Closed);
        let http = |mut stream: TcpStream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close").unwrap();
        assert_eq!(answered_by(http), Knock::Answered("HTTP/1.1 400 Bad Request".to_owned()));
        let (_silent, address) = listener();
        assert_eq!(knock(&address), Knock::Silent);
    }
}
