//! The way to the server: a pool of connections, a bound on what is under way, a time for each answer.

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::answer::Unanswered;
use crate::client::settings::RemoteSettings;
use crate::clock::time_left;
use crate::config::Secret;
use crate::policy::Mistake;

/// The most requests under way at once, and each has a connection. Those that wait in a line have a bound of their own,
/// so that they leave room for those that end leases. Together below what a server takes by itself, which is 1 024.
const REQUESTS_MAX: usize = 256;
const WAITS_MAX: usize = 512;
/// Connections that stay open without a request.
const IDLE_MAX: usize = 64;
/// For how long. A server closes what is idle too, and a request on a connection that it is closing gets no answer: so
/// this is well below its time, which is `ServeOptions::header_timeout`.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// A batch of refusals that name 32 keys each is about so long.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// One server.
pub(super) struct Wire {
    /// Such as `http://127.0.0.1:8080`: no slash at the end, paths are appended.
    base: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
    requests: Semaphore,
    waits: Semaphore,
}

/// How long an answer may take, beside the time that every answer has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// How long the server was asked to wait.
    pub(super) waits: Duration,
    /// When the answer is of no more use.
    pub(super) deadline: Option<Instant>,
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long it asks its callers to stay away.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl Patience {
    pub(super) fn until(deadline: Option<Instant>) -> Self {
        Self { waits: Duration::ZERO, deadline }
    }
}

impl Wire {
    pub(super) fn new(settings: &RemoteSettings) -> Result<Self, Mistake> {
        let base = settings.base_url.as_str().to_owned();
        if base.parse::<Uri>().is_err() {
            return Err(Mistake::new(
                "base_url",
                format!("is `{base}`, which is no URL"),
                super::super::settings::URL_HINT,
            ));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.request_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(Self {
            base,
            authorization: settings.token.as_ref().map(bearer),
            timeout: settings.request_timeout,
            client,
            requests: Semaphore::new(REQUESTS_MAX),
            waits: Semaphore::new(WAITS_MAX),
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for what stands at `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Unanswered> {
        self.ask(Request::get(self.at(path)), Vec::new(), Patience::default()).await
    }

    /// Sends JSON, and reads what comes back.
    pub(super) async fn post(&self, path: &str, body: Vec<u8>, patience: Patience) -> Result<Answer, Unanswered> {
        let request = Request::post(self.at(path)).header(CONTENT_TYPE, "application/json");
        self.ask(request, body, patience).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn ask(&self, request: Builder, body: Vec<u8>, patience: Patience) -> Result<Answer, Unanswered> {
        let left = patience.deadline.map_or(Duration::MAX, time_left);
        if left.is_zero() {
            return Err(Unanswered::new("the deadline had passed before the request was sent"));
        }
        let time = self.timeout.saturating_add(patience.waits).min(left);
        let slots = if patience.waits.is_zero() { &self.requests } else { &self.waits };
        let exchange = async {
            let _slot = slots.acquire().await; // Never closed.
            self.exchange(request, body).await
        };
        timeout(time, exchange).await.unwrap_or_else(|_| Err(self.too_slow(time)))
    }

    async fn exchange(&self, mut request: Builder, body: Vec<u8>) -> Result<Answer, Unanswered> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Full::from(body)).expect("the base was parsed, and paths are plain");
        let response = self.client.request(request).await.map_err(|error| self.broken(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.unreadable(error.as_ref()))?.to_bytes();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(whole_seconds);
        Ok(Answer { status: head.status, retry_after, body })
    }

    fn broken(&self, error: &legacy::Error) -> Unanswered {
        if error.is_connect() {
            return Unanswered::new(format!("no server answers at `{}`", self.base));
        }
        Unanswered::new(format!("`{}` ended the connection without an answer", self.base))
    }

    fn unreadable(&self, error: &(dyn std::error::Error + 'static)) -> Unanswered {
        let problem = if error.is::<LengthLimitError>() {
            format!("is longer than {} MiB", ANSWER_BYTES_MAX >> 20)
        } else {
            "broke off".to_owned()
        };
        Unanswered::new(format!("the answer of `{}` {problem}", self.base))
    }

    fn too_slow(&self, time: Duration) -> Unanswered {
        Unanswered::new(format!("`{}` did not answer within {} ms", self.base, time.as_millis()))
    }
}

fn bearer(token: &Secret) -> HeaderValue {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value = value.expect("a token is visible ASCII");
    value.set_sensitive(true);
    value
}

/// A date is for people behind other servers; a Tollgate sends none.
fn whole_seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;
    use crate::api::ServeOptions;

    #[test]
    fn no_request_meets_a_connection_that_its_server_is_closing() {
        assert!(IDLE_TIME * 2 <= ServeOptions::default().header_timeout);
    }
}
