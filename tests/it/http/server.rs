//! A server to ask, and what it answers.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tollgate::Tollgate;
use tollgate::api::{ApiState, ServeOptions};
use tollgate::policy::DefinitionFields;

use crate::support::within;

/// The most seconds that anything here takes on a busy machine.
pub(super) const SECONDS: u64 = 30;

/// A Tollgate that serves on a port of its own.
pub(super) struct Server {
    pub(super) tollgate: Tollgate,
    pub(super) state: ApiState,
    pub(super) address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// A limit on requests at once, with a timeout of a minute.
pub(super) fn concurrency(key: &str, capacity: u64) -> Value {
    json!({"key": key, "kind": "concurrency", "capacity": capacity, "timeout_seconds": 60})
}

/// A limit over a window of a minute.
pub(super) fn rolling(key: &str, capacity: u64) -> Value {
    json!({"key": key, "kind": "rolling", "capacity": capacity, "window_seconds": 60})
}

/// A new lease id.
pub(super) fn lease_id() -> String {
    tollgate::policy::LeaseId::generate().to_string()
}

/// A reservation of one key.
pub(super) fn reserve(key: &str, amount: u64) -> Value {
    json!({"lease_id": lease_id(), "requirements": [{"key": key, "amount": amount}]})
}

impl Server {
    pub(super) async fn start(limits: &[Value]) -> Self {
        Self::start_with(limits, ServeOptions::default()).await
    }

    pub(super) async fn start_with(limits: &[Value], options: ServeOptions) -> Self {
        let fields = |limit: &Value| serde_json::from_value::<DefinitionFields>(limit.clone()).expect("good fields");
        let builder = limits.iter().fold(Tollgate::builder(), |builder, limit| builder.limit_fields(fields(limit)));
        Self::of(builder.start().await.expect("starts"), options).await
    }

    pub(super) async fn of(tollgate: Tollgate, options: ServeOptions) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = tollgate.api(options);
        let (stop, stopped) = oneshot::channel();
        let (served, face) = (tollgate.clone(), state.clone());
        let serving = tokio::spawn(async move {
            let shutdown = async { stopped.await.unwrap_or_default() };
            served.serve_with(listener, face, shutdown).await.expect("serves");
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { tollgate, state, address, client, stop, serving }
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = within(SECONDS, self.client.request(request)).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = within(SECONDS, body.collect()).await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: head.status, headers: head.headers, text }
    }

    pub(super) fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        request.body(Full::new(body.into())).expect("a good request")
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, "")).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, body.to_string())).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path, body.to_string())).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path, "")).await
    }

    /// A connection of its own, on which `text` was sent.
    pub(super) async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(text.as_bytes()).await.expect("writes");
        stream
    }

    /// Waits until `waiters` calls wait in lines.
    pub(super) async fn until_waiting(&self, waiters: usize) {
        let counted = async {
            while self.tollgate.waiting() != waiters {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(SECONDS, counted).await;
    }

    /// Tells the server to stop, and says when it has.
    pub(super) fn begin_stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        let Self { serving, tollgate, .. } = self;
        tokio::spawn(async move {
            serving.await.expect("served without a panic");
            tollgate.shutdown().await;
        })
    }

    pub(super) async fn stop(self) {
        within(SECONDS, self.begin_stop()).await.expect("stopped without a panic");
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    /// The JSON of a request that was done.
    #[track_caller]
    pub(super) fn done(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }

    /// The code and the detail of a problem, after a look at its form.
    #[track_caller]
    pub(super) fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["title"], self.status.canonical_reason().expect("a known status"));
        let text = |field: &str| problem[field].as_str().expect("text").to_owned();
        (text("error"), text("detail"))
    }
}

/// All that comes until the server closes the connection.
pub(super) async fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection may also be reset: what came before is the answer.
    let _ = within(SECONDS, stream.read_to_end(&mut text)).await;
    String::from_utf8(text).expect("text")
}
