//! A small HTTP client.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tollgate::policy::LeaseId;

use super::within;

/// How long an answer may take.
const PATIENCE_SECONDS: u64 = 20;

/// Asks one server. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

/// The connection ended without an answer.
#[derive(Debug)]
pub(crate) struct NoAnswer(#[expect(dead_code, reason = "shown where an answer was expected")] String);

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { address, token: token.map(str::to_owned), http }
    }

    /// The status and the JSON of the answer, null if it is none.
    pub(crate) async fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value), NoAnswer> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(Full::from(body)).expect("a good request");
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| NoAnswer(format!("{error:?}")))?;
            let status = response.status().as_u16();
            let bytes =
                response.into_body().collect().await.map_err(|error| NoAnswer(format!("{error:?}")))?.to_bytes();
            Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
        };
        within(PATIENCE_SECONDS, exchange).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.try_ask(method, path, body).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null).await
    }

    /// Defines a rolling limit per minute.
    pub(crate) async fn put_rolling(&self, key: &str, capacity: u64) -> (u16, Value) {
        self.ask("PUT", "/v1/admin/limits", &rolling(key, capacity)).await
    }

    /// The body of a success.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

/// A rolling limit per minute.
pub(crate) fn rolling(key: &str, capacity: u64) -> Value {
    json!({"key": key, "kind": "rolling", "capacity": capacity, "window_seconds": 60})
}

/// A reservation of one key under a new lease id.
pub(crate) fn reserve(key: &str, amount: u64) -> Value {
    json!({"lease_id": LeaseId::generate().to_string(), "requirements": [{"key": key, "amount": amount}]})
}

/// The same that waits.
pub(crate) fn acquire(key: &str, amount: u64, max_wait_ms: u64) -> Value {
    let mut body = reserve(key, amount);
    body["max_wait_ms"] = json!(max_wait_ms);
    body
}
