//! Clients that cost next to nothing: a request made beforehand, of which only the lease id changes, and a reader that
//! looks for the end of the answer.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const BODY: &str = concat!(
    r#"{"lease_id":"00000000000000000000000000","requirements":["#,
    r#"{"key":"global:llm:openai:gpt-4o:rpm","amount":1},"#,
    r#"{"key":"global:llm:openai:gpt-4o:tpm","amount":1500},"#,
    r#"{"key":"global:llm:openai:gpt-4o:concurrency","amount":1},"#,
    r#"{"key":"tenant:acme:llm:daily_tokens","amount":1500}]}"#,
);
const ID_CHARACTERS: usize = 26;
/// Where the lease id begins in the body.
const ID_AT: usize = r#"{"lease_id":""#.len();

/// The bits of the lease id with the digits of `number`: the characters of a ULID stand for 5 bits each.
pub(crate) fn lease_bits(number: u64) -> u128 {
    digits(number).iter().fold(0, |bits, digit| bits << 5 | u128::from(digit - b'0'))
}

fn digits(number: u64) -> [u8; ID_CHARACTERS] {
    let mut digits = [b'0'; ID_CHARACTERS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let head = format!(
            "POST /v1/reserve HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            BODY.len()
        );
        Self { stream, request: [head.as_bytes(), BODY.as_bytes()].concat(), answer: Vec::with_capacity(4_096) }
    }

    /// Asks with the lease id of `number`, and waits for the answer.
    async fn ask(&mut self, number: u64) {
        let id_at = self.request.len() - BODY.len() + ID_AT;
        self.request[id_at..id_at + ID_CHARACTERS].copy_from_slice(&digits(number));
        self.stream.write_all(&self.request).await.expect("an open connection");
        self.answer.clear();
        while !is_whole(&self.answer) {
            let read = self.stream.read_buf(&mut self.answer).await.expect("an answer");
            assert_ne!(read, 0, "the server closed: {}", String::from_utf8_lossy(&self.answer));
        }
    }
}

/// Whether head and body are there. The answers have no list but the empty one at their end.
fn is_whole(answer: &[u8]) -> bool {
    if !answer.ends_with(br#""denied":[]}"#) {
        return false;
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(answer));
    true
}

/// Connections that are kept open, and the number of the next request.
pub(crate) struct Clients {
    connections: Vec<Connection>,
    sent: u64,
}

impl Clients {
    pub(crate) async fn connect(address: SocketAddr, count: usize) -> Self {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(Connection::open(address).await);
        }
        Self { connections, sent: 0 }
    }

    /// How many requests were sent: they had the numbers below this.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends `each` requests over every connection, one after the other.
    pub(crate) async fn round(&mut self, each: usize) {
        let mut asking = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let numbers = self.sent..self.sent + each as u64;
            self.sent = numbers.end;
            asking.spawn(async move {
                for number in numbers {
                    connection.ask(number).await;
                }
                connection
            });
        }
        self.connections = asking.join_all().await;
    }
}
