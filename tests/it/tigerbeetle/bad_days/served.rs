//! What `tollgate serve` says when there is no cluster, and when its cluster goes.

use std::net::SocketAddr;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::addresses::nobody;
use crate::support::client::{Client as HttpClient, reserve};
use crate::support::server::{Ended, Home, Server as Tollgate, run};
use crate::support::tigerbeetle::Server;
use crate::support::{sleep_ms, within};

pub(super) fn config(address: SocketAddr, more: &str) -> String {
    format!("[backend]\nkind = \"tigerbeetle\"\n[backend.tigerbeetle]\naddresses = [\"{address}\"]\n{more}\n")
}

/// One that cannot start says so in one line.
async fn check(config: String, problem: String) {
    let home = Home::new(&config);
    let Ended { code, stdout, stderr } = run(home.serve()).await;
    // The library itself tells of its attempts to connect.
    let own: Vec<_> = stderr.lines().filter(|line| !line.contains("(message_bus): ")).collect();
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert_eq!(own, [format!("error: cannot open the books in TigerBeetle: {problem}")]);
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_finds_no_cluster_ends_and_says_why() {
    let server = Server::start().await;
    let (_nobody, empty) = nobody();
    let other = Home::new("").start().await;
    let silent = listener().await;
    let clients = (0..7).map(|_| super::evicted::stranger(&server));
    let mut clients = join_all(clients).await;
    within(60, async {
        let wrong_cluster = format!(
            "the server at {} gives no answer for cluster 7: it was probably formatted with another number; correct \
             `cluster_id`, or see in its log whether it is still starting",
            server.address()
        );
        tokio::join!(
            check(
                config(empty, ""),
                format!("no TigerBeetle at {empty}: nobody listens there; start it, or correct the address")
            ),
            check(
                config(other.address, ""),
                format!(
                    "no TigerBeetle at {}: another program answers there (\"HTTP/1.0 200 OK\"); correct the \
                     address",
                    other.address
                )
            ),
            check(config(silent.1, ""), silence(silent.1)),
            check(config(server.address(), "cluster_id = 7"), wrong_cluster),
        );
        clients.push(super::evicted::stranger(&server).await);
        check(config(server.address(), ""), silence(server.address())).await;
    })
    .await;
}

fn silence(address: SocketAddr) -> String {
    format!(
        "{address} takes connections and says nothing: TigerBeetle does that when as many clients are connected as it \
         takes (8 with --development, 32 otherwise) or when it is stopped; close a client, look at the server, or correct \
         the address"
    )
}

#[tokio::test]
async fn addresses_that_are_none_are_mistakes() {
    let home = Home::new("[backend]\nkind = \"tigerbeetle\"\n[backend.tigerbeetle]\naddresses = [\"localhost\"]");
    let Ended { code, stderr, .. } = run(home.serve()).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("`backend.tigerbeetle.addresses"), "{stderr}");
}

async fn until_ready(client: &HttpClient, status: u16) -> Value {
    loop {
        let (now, body) = client.get("/readyz").await;
        if now == status {
            return body;
        }
        sleep_ms(10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_not_ready_while_its_cluster_stands_still() {
    const LIMIT: &str = "[[limits]]\nkey = \"rpm\"\nkind = \"rolling\"\ncapacity = 10\nwindow_seconds = 3600";
    let cluster = Server::start().await;
    within(60, async {
        let home = Home::new(&config(cluster.address(), LIMIT));
        let server = Tollgate::start(home.serve()).await;
        let client = server.client();
        until_ready(&client, 200).await;
        cluster.stop().await;
        let told = until_ready(&client, 503).await;
        assert_eq!(told["error"], json!("backend_down"), "{told}");
        let status = client.read("/v1/status").await;
        let detail = status["backend"]["detail"].as_str().expect("a text");
        assert!(detail.starts_with("TigerBeetle is away: "), "{detail}");
        let (code, refused) = client.ask("POST", "/v1/reserve", &reserve("rpm", 1)).await;
        assert!(code == 503 || refused["allowed"] == json!(false), "{code}: {refused}");
        // What was not answered can be asked to end all the same: it does not wait for the cluster.
        cluster.cont().await;
        until_ready(&client, 200).await;
        // The first answer says that it is there. It may still have much to do before it decides in time.
        let asked = reserve("rpm", 1);
        let granted = loop {
            match client.ask("POST", "/v1/reserve", &asked).await {
                (200, granted) => break granted,
                (code, refused) => assert_eq!(code, 503, "{refused}"),
            }
            sleep_ms(20).await;
        };
        assert_eq!(granted["allowed"], json!(true), "{granted}");
        cluster.stop().await;
        server.signal(Signal::TERM);
        let ended = server.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    })
    .await;
}
