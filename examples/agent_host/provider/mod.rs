//! A provider that stands for Anthropic: a real HTTP server with true limits, the headers and errors of the real one,
//! and bad times. Its limits are token buckets that refill continuously. A call is charged its prompt and its
//! `max_tokens` when it is let in, and gets back what it did not use; one that then fails without an answer stays
//! charged.

mod answer;
mod books;
mod bucket;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) use books::Seen;

use super::clock::Clock;
use super::scenario::Scenario;
use answer::Answer;
use books::{Books, Over, Visit};

/// Characters that make a token.
pub(crate) const CHARACTERS_PER_TOKEN: usize = 4;

/// A running provider. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    books: Arc<Books>,
    _tasks: JoinSet<()>,
}

impl Provider {
    /// Starts one on a free port; its limits are full.
    pub(crate) async fn start(scenario: &Scenario, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let books = Arc::new(Books::new(scenario, clock));
        let desk = Arc::new(Desk { scenario: scenario.clone(), clock, books: Arc::clone(&books) });
        let router = Router::new().route("/v1/messages", post(messages)).with_state(desk);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { address, books, _tasks: tasks }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.books.seen()
    }
}

/// What answers have in common.
struct Desk {
    scenario: Scenario,
    clock: Clock,
    books: Arc<Books>,
}

impl Desk {
    fn is_down(&self) -> bool {
        self.scenario.outage.contains(&self.clock.now())
    }

    fn response(&self, status: u16, content_type: &str, body: Body) -> Response {
        let response = Response::builder().status(status).header("content-type", content_type);
        let headers = self.books.headers();
        let response = headers.into_iter().fold(response, |response, (name, value)| response.header(name, value));
        response.body(body).expect("headers of plain text")
    }

    fn error(&self, status: u16, kind: &str, message: &str) -> Response {
        let error = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" });
        self.response(status, "application/json", Body::from(error.to_string()))
    }

    fn too_many(&self, over: Over) -> Response {
        let Scenario { requests_per_minute, tokens_per_minute, .. } = self.scenario;
        let (message, wait) = match over {
            Over::Requests(wait) => (format!("your rate limit of {requests_per_minute} requests per minute"), wait),
            Over::Tokens(wait) => (format!("your rate limit of {tokens_per_minute} tokens per minute"), wait),
            Over::Concurrency => ("your limit of concurrent connections".to_owned(), self.scenario.answer_time),
        };
        let message = format!("This request would exceed {message}. Please try again later.");
        let mut response = self.error(429, "rate_limit_error", &message);
        let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
        response.headers_mut().insert("retry-after", seconds.to_string().parse().expect("a number"));
        response
    }
}

#[derive(Deserialize)]
struct Request {
    max_tokens: u64,
    metadata: Metadata,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Metadata {
    /// The name of the work and the number of the attempt, with a slash between.
    user_id: String,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

async fn messages(State(desk): State<Arc<Desk>>, Json(request): Json<Request>) -> Response {
    let mut visit = Visit::arrive(&desk.books);
    let Some((work, attempt)) = request.metadata.user_id.split_once('/') else {
        return desk.error(400, "invalid_request_error", "metadata.user_id: names no attempt");
    };
    let plan = desk.scenario.answer(work, attempt.parse().unwrap_or(1));
    tokio::time::sleep(plan.transit).await;
    if desk.books.overload_refuses() {
        return desk.error(529, "overloaded_error", "Overloaded");
    }
    let characters: usize = request.messages.iter().map(|message| message.content.len()).sum();
    let prompt_tokens = characters.div_ceil(CHARACTERS_PER_TOKEN) as u64;
    if let Err(over) = visit.enter(prompt_tokens + request.max_tokens) {
        return desk.too_many(over);
    }
    if desk.is_down() {
        if plan.hangs {
            desk.clock.sleep_until(desk.scenario.outage.end).await;
        }
        return desk.error(500, "api_error", "Internal server error");
    }
    let response = desk.response(200, "text/event-stream", Body::empty());
    let tokens = prompt_tokens;
    response.map(|_| Answer::new(desk, visit, plan, tokens).into_body())
}
