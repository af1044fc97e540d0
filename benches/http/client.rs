//! Clients that cost next to nothing: a request made beforehand, of which only the lease id changes, and a reader that
//! looks for the end of the answer.

use std::io::Write;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tollgate::policy::LeaseId;

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

    /// Asks with a new lease id, and waits for the answer.
    async fn ask(&mut self) -> LeaseId {
        let lease_id = LeaseId::generate();
        let id_at = self.request.len() - BODY.len() + ID_AT;
        let mut id = &mut self.request[id_at..id_at + ID_CHARACTERS];
        write!(id, "{lease_id}").expect("an id has as many characters");
        self.stream.write_all(&self.request).await.expect("an open connection");
        self.answer.clear();
        while !is_whole(&self.answer) {
            let read = self.stream.read_buf(&mut self.answer).await.expect("an answer");
            assert_ne!(read, 0, "the server closed: {}", String::from_utf8_lossy(&self.answer));
        }
        lease_id
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

/// Connections that are kept open.
pub(crate) struct Clients {
    connections: Vec<Connection>,
}

impl Clients {
    pub(crate) async fn connect(address: SocketAddr, count: usize) -> Self {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(Connection::open(address).await);
        }
        Self { connections }
    }

    /// Sends `each` requests over every connection, one after the other; says which leases were granted.
    pub(crate) async fn round(&mut self, each: usize) -> Vec<LeaseId> {
        let mut asking = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            asking.spawn(async move {
                let mut leases = Vec::with_capacity(each);
                for _ in 0..each {
                    leases.push(connection.ask().await);
                }
                (connection, leases)
            });
        }
        let (connections, leases): (Vec<_>, Vec<_>) = asking.join_all().await.into_iter().unzip();
        self.connections = connections;
        leases.concat()
    }
}
