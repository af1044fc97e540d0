//! The one step around every request: who asks, how long it may take, its id, its count and its line in the log.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::access::{Scope, authorize};
use super::problem::Problem;
use super::request_id::REQUEST_ID;
use super::state::ApiState;
use super::traffic::RouteTraffic;

/// What the step knows of the route it stands before.
#[derive(Clone)]
pub(super) struct Gate {
    state: ApiState,
    route: &'static str,
    scope: Scope,
    /// How long the whole request may take, once its head is here.
    time: Duration,
    traffic: Arc<RouteTraffic>,
}

impl Gate {
    /// The step before `route`, whose handler waits for `waits` on purpose.
    pub(super) fn new(state: &ApiState, route: &'static str, scope: Scope, waits: Duration) -> Self {
        // The body may take as long, and is timed on its own: whoever is slow must be told who it was.
        let time = state.options().request_timeout * 2 + waits;
        Self { state: state.clone(), route, scope, time, traffic: state.traffic().route(route) }
    }
}

/// The step itself.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let started = gate.state.tollgate().now();
    let id = gate.state.request_ids().of(request.headers());
    let method = request.method().clone();
    let mut response = match authorize(&gate.state.access(), gate.scope, request.headers().get(AUTHORIZATION)) {
        Ok(()) => {
            let span = tracing::debug_span!("request", request_id = text(&id), %method, route = gate.route);
            let answer = tokio::time::timeout(gate.time, next.run(request)).instrument(span);
            answer.await.unwrap_or_else(|_| Problem::answer_too_slow().into_response())
        }
        Err(problem) => problem.into_response(),
    };
    gate.traffic.count(response.status().as_u16());
    log(&id, &method, gate.route, response.status(), gate.state.tollgate().now().since(started));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Bodies and tokens are never logged. What went well is told at a level that is off by default and then is free.
fn log(id: &HeaderValue, method: &Method, route: &str, status: StatusCode, took: Duration) {
    let (request_id, status_code, duration_us) = (text(id), status.as_u16(), took.as_micros() as u64);
    if status.is_server_error() {
        tracing::warn!(request_id, %method, route, status = status_code, duration_us, "request failed");
    } else if status.is_client_error() {
        tracing::info!(request_id, %method, route, status = status_code, duration_us, "request refused");
    } else {
        tracing::debug!(request_id, %method, route, status = status_code, duration_us, "request answered");
    }
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}
