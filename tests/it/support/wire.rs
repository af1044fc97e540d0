//! One connection, byte by byte, for requests that are cut off, left alone or sent at a certain moment.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to a server.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(TcpStream::connect(address).await?))
    }

    /// Posts `body`. Once this returns, the request is with the server's operating system.
    pub(crate) async fn send(&mut self, path: &str, body: &Value) -> io::Result<()> {
        let body = body.to_string();
        self.0.write_all(format!("{}{body}", head(path, body.len())).as_bytes()).await
    }

    /// Posts the first half of `body`, and returns the other.
    pub(crate) async fn send_half(&mut self, path: &str, body: &Value) -> io::Result<String> {
        let mut body = body.to_string();
        let rest = body.split_off(body.len() / 2);
        self.0.write_all(format!("{}{body}", head(path, body.len() + rest.len())).as_bytes()).await?;
        Ok(rest)
    }

    pub(crate) async fn send_rest(&mut self, rest: &str) -> io::Result<()> {
        self.0.write_all(rest.as_bytes()).await
    }

    /// The status and the JSON of one whole answer.
    pub(crate) async fn answer(&mut self) -> io::Result<(u16, Value)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).expect("ASCII").to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.expect("a length").trim().parse().expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn head(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: tollgate\r\ncontent-length: {length}\r\n\r\n")
}
