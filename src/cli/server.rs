//! The HTTP client of the commands: asks one running server, in JSON over plain http.

use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Failure;
use super::check::unfit;
use crate::client::{BaseUrl, RemoteSettings};
use crate::config::Secret;

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_MIB_MAX: usize = 64;

/// Which server a command asks, and how it shows the answer.
#[derive(Args)]
pub(super) struct ServerArgs {
    /// The server to ask
    #[arg(long, global = true, help_heading = "Server", value_name = "URL", env = "TOLLGATE_SERVER")]
    #[arg(default_value = DEFAULT_SERVER, value_parser = parse_base)]
    server: String,
    /// The token that the server asks for
    #[arg(long, global = true, help_heading = "Server", env = "TOLLGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the server's JSON instead of text
    #[arg(long, global = true, help_heading = "Server")]
    pub(super) json: bool,
}

impl ServerArgs {
    /// The same server, for a limiter.
    pub(super) fn remote(&self) -> Result<RemoteSettings, Failure> {
        let base_url = BaseUrl::parse(&self.server).map_err(|mistake| unfit(mistake.under("--server")))?;
        let token = self.token.as_deref().filter(|token| !token.is_empty()).map(Secret::parse).transpose();
        let token = token.map_err(|mistake| unfit(mistake.under("--token")))?;
        Ok(RemoteSettings { token, ..RemoteSettings::new(base_url) })
    }
}

/// A running server.
pub(super) struct Server {
    /// Such as `http://127.0.0.1:8080`: no slash at the end, paths are appended.
    base: String,
    authorization: Option<HeaderValue>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a server said.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Null when the answer was no JSON.
    pub(super) body: Value,
}

impl Answer {
    /// The body of a success.
    pub(super) fn accepted(self) -> Result<Value, Failure> {
        if !self.status.is_success() {
            return Err(Failure::of_answer(self.status, &self.body));
        }
        if !self.body.is_object() {
            let hint = "name a Tollgate server with `--server`";
            return Err(Failure::runtime("the answer is not the JSON of a Tollgate server").with_hint(hint));
        }
        Ok(self.body)
    }
}

impl Server {
    pub(super) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let token = args.token.as_deref().filter(|token| !token.is_empty());
        let authorization = token.map(bearer).transpose()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { base: args.server.clone(), authorization, client })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, PATIENCE).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::PUT, path, Some(body), PATIENCE).await
    }

    /// `wait` is how much longer than usual the server may take.
    pub(super) async fn post(&self, path: &str, body: &Value, wait: Duration) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(body), PATIENCE.saturating_add(wait)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::DELETE, path, None, PATIENCE).await
    }

    /// What is no JSON, such as the metrics.
    pub(super) async fn text(&self, path: &str) -> Result<String, Failure> {
        let (status, bytes) = self.exchange(self.request(Method::GET, path, None)?, PATIENCE).await?;
        if !status.is_success() {
            return Err(Failure::of_answer(status, &serde_json::from_slice(&bytes).unwrap_or_default()));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let (status, bytes) = self.exchange(self.request(method, path, body)?, patience).await?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| self.unanswered(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MIB_MAX << 20).collect().await;
            Ok((status, body.map_err(|error| self.unreadable(error.as_ref()))?.to_bytes()))
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.too_slow(patience)),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let complaint = |error| Failure::usage(format!("`{}{path}` cannot be asked for: {error}", self.base));
        request.body(Full::from(body)).map_err(complaint)
    }

    fn unanswered(&self, error: &legacy::Error) -> Failure {
        if error.is_connect() {
            return Failure::runtime(format!("no server answers at `{}`", self.base))
                .with_hint("start one with `tollgate serve`, or name it with `--server`");
        }
        Failure::runtime(format!("`{}` ended the connection without an answer", self.base)).with_unknown_outcome()
    }

    fn unreadable(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let problem = if error.is::<LengthLimitError>() {
            format!("is longer than {ANSWER_MIB_MAX} MiB")
        } else {
            "broke off".to_owned()
        };
        Failure::runtime(format!("the answer of `{}` {problem}", self.base)).with_unknown_outcome()
    }

    fn too_slow(&self, patience: Duration) -> Failure {
        let message = format!("`{}` did not answer within {} s", self.base, patience.as_secs());
        Failure::runtime(message).with_unknown_outcome()
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Failure::usage("`--token` holds a character that no HTTP header carries"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Checks the URL of a server, and drops a slash at its end.
fn parse_base(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|_| format!("it is no URL; write it as `{DEFAULT_SERVER}`"))?;
    let Some(authority) = uri.authority().filter(|_| uri.query().is_none()) else {
        return Err(format!("it names no server; write it as `{DEFAULT_SERVER}`"));
    };
    if uri.scheme_str() != Some("http") {
        return Err("only plain `http` is spoken; for `https` put a proxy in between".to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("a password in the URL is not sent; name a token with `--token`".to_owned());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
