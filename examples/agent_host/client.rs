//! The agents' way to the provider: HTTP, and the events of an answer as they come.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::provider::CHARACTERS_PER_TOKEN;
use super::scenario::{MAX_TOKENS, Work};

/// What is seen of an answer while it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Observed<'a> {
    /// Its head; of an error its body too.
    Head { status: u16, headers: &'a [(&'a str, &'a str)], body: &'a [u8] },
    /// The tokens of prompt and answer up to now.
    Tokens(u64),
}

/// Why there is no answer, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the provider answers with {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("there is no connection")]
    Connect,
    #[error("the stream broke off")]
    Cut,
    #[error("there was no answer in time")]
    Late,
}

/// Cheap to clone; its connections are kept and shared.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    url: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { http, url: format!("http://{address}/v1/messages") }
    }

    /// Makes one attempt of a call.
    pub(crate) async fn ask(
        &self,
        work: &Work,
        attempt: u32,
        mut observe: impl FnMut(Observed<'_>),
    ) -> Result<(), Failure> {
        let response = self.http.request(self.request(work, attempt)).await.map_err(|_| Failure::Connect)?;
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let texts = head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let headers: Vec<(&str, &str)> = texts.collect();
        if status == 200 {
            observe(Observed::Head { status, headers: &headers, body: &[] });
            return read_answer(body, observe).await;
        }
        let body = body.collect().await.map_err(|_| Failure::Cut)?.to_bytes();
        observe(Observed::Head { status, headers: &headers, body: &body });
        let retry_after = headers.iter().find(|(name, _)| *name == "retry-after");
        let seconds = retry_after.and_then(|(_, value)| value.parse().ok());
        Err(Failure::Status { status, retry_after: seconds.map(Duration::from_secs) })
    }

    fn request(&self, work: &Work, attempt: u32) -> Request<Full<Bytes>> {
        let prompt = "x".repeat(work.prompt_tokens as usize * CHARACTERS_PER_TOKEN);
        let body = json!({
            "model": "claude-sonnet",
            "max_tokens": MAX_TOKENS,
            "stream": true,
            "metadata": { "user_id": format!("{}/{attempt}", work.name) },
            "messages": [{ "role": "user", "content": prompt }],
        });
        let request = Request::post(&self.url).header("content-type", "application/json");
        request.body(Full::from(body.to_string())).expect("a good address")
    }
}

async fn read_answer(mut body: Incoming, mut observe: impl FnMut(Observed<'_>)) -> Result<(), Failure> {
    let (mut text, mut prompt_tokens, mut is_whole) = (String::new(), 0, false);
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| Failure::Cut)?.into_data().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&data));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            match data["type"].as_str() {
                Some("message_start") => {
                    prompt_tokens = data["message"]["usage"]["input_tokens"].as_u64().unwrap_or_default();
                    observe(Observed::Tokens(prompt_tokens));
                }
                Some("message_delta") => {
                    let answer_tokens = data["usage"]["output_tokens"].as_u64().unwrap_or_default();
                    observe(Observed::Tokens(prompt_tokens + answer_tokens));
                }
                Some("message_stop") => is_whole = true,
                _ => {}
            }
        }
    }
    if is_whole { Ok(()) } else { Err(Failure::Cut) }
}
