//! Stands between a client and a server: each request waits until it is passed on, and its answer may get lost.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::server::PATIENCE_SECONDS;
use crate::support::wire::Wire;
use crate::support::within;

pub(super) struct Relay {
    listener: TcpListener,
    server: SocketAddr,
}

/// A request that the server has not seen yet.
pub(super) struct Asked {
    client: TcpStream,
    server: SocketAddr,
    pub(super) path: String,
    pub(super) body: Value,
}

impl Relay {
    pub(super) async fn to(server: SocketAddr) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port"), server }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The next request, each on a connection of its own.
    pub(super) async fn asked(&self) -> Asked {
        let asked = async {
            let (mut client, _) = self.listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.expect("a whole head"));
            }
            let head = String::from_utf8(head).expect("ASCII");
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a length");
            let mut body = vec![0; length.trim().parse().expect("a number")];
            client.read_exact(&mut body).await.expect("a whole body");
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            Asked { client, server: self.server, path, body: serde_json::from_slice(&body).expect("JSON") }
        };
        within(PATIENCE_SECONDS, asked).await
    }
}

impl Asked {
    /// Passes it on, and the answer back.
    pub(super) async fn answered(mut self) -> Value {
        let (status, answer) = self.pass_on().await;
        self.tell(status, &answer).await;
        answer
    }

    /// Answers in place of the server, which does not see it.
    pub(super) async fn refused(mut self, answer: &Value) {
        self.tell(200, answer).await;
    }

    async fn tell(&mut self, status: u16, answer: &Value) {
        let body = answer.to_string();
        let head = format!("HTTP/1.1 {status} \r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        self.client.write_all(format!("{head}{body}").as_bytes()).await.expect("it waits for the answer");
    }

    /// Passes it on, and loses the answer, which the server has given.
    pub(super) async fn lost(self) -> Value {
        self.pass_on().await.1
    }

    async fn pass_on(&self) -> (u16, Value) {
        let mut wire = Wire::connect(self.server).await.expect("a server");
        wire.send(&self.path, &self.body).await.expect("a connection");
        within(PATIENCE_SECONDS, wire.answer()).await.expect("an answer")
    }
}
