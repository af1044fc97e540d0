//! A server that answers as it is told, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What it was asked: the path, the token, the body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Value,
}

type Answer = Box<dyn Fn(&Asked) -> (u16, Vec<u8>) + Send + Sync>;

/// The server. It ends with its test.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// An answer takes one of them.
    turns: Arc<Semaphore>,
}

struct Served {
    fake: Fake,
    answer: Answer,
}

impl Fake {
    /// Answers at once.
    pub(super) async fn start(answer: impl Fn(&Asked) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        Self::start_with(Semaphore::MAX_PERMITS, answer).await
    }

    /// Answers so many, and more when it [may](Self::let_answer).
    pub(super) async fn start_with(
        turns: usize,
        answer: impl Fn(&Asked) -> (u16, Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let fake = Self { address, asked: Arc::default(), turns: Arc::new(Semaphore::new(turns)) };
        let served = Arc::new(Served { fake: fake.clone(), answer: Box::new(answer) });
        let router = Router::new().fallback(serve).with_state(served);
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub(super) fn let_answer(&self, count: usize) {
        self.turns.add_permits(count);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// Waits until it was asked so often.
    pub(super) async fn until_asked(&self, count: usize) -> Vec<Asked> {
        crate::support::within(super::PATIENCE_SECONDS, async {
            while self.asked().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        self.asked()
    }
}

async fn serve(State(served): State<Arc<Served>>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().expect("text").to_owned());
    let body: Bytes = request.into_body().collect().await.expect("a body").to_bytes();
    let asked = Asked { path, authorization, body: serde_json::from_slice(&body).expect("JSON") };
    served.fake.asked.lock().expect("no panic").push(asked.clone());
    served.fake.turns.acquire().await.expect("never closed").forget();
    let (status, body) = (served.answer)(&asked);
    Response::builder().status(status).body(Body::from(body)).expect("a good answer")
}
