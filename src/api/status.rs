//! How the server fares: `/v1/status` for people, `/healthz` and `/readyz` for what watches over it.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::body;
use super::problem::Problem;
use super::state::ApiState;
use crate::backends::Health;

#[derive(Serialize)]
struct Fine {
    status: &'static str,
}

pub(super) async fn status(State(state): State<ApiState>) -> Response {
    body::json(&state.tollgate().status())
}

/// The process answers; nothing more is asked.
pub(super) async fn healthz() -> Response {
    body::json(&Fine { status: "ok" })
}

/// Whether requests should be sent here.
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<Response, Problem> {
    if state.is_closing() {
        return Err(Problem::unavailable("shutting_down", "the server is about to stop; use another one"));
    }
    match state.tollgate().health() {
        Health::Up => Ok(body::json(&Fine { status: "ok" })),
        // Why is told to those who may ask for the status.
        Health::Down(_) => Err(Problem::unavailable("backend_down", "the backend does not answer; see `/v1/status`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tollgate;
    use crate::api::ServeOptions;

    async fn refused(state: &ApiState) -> (&'static str, String) {
        readyz(State(state.clone())).await.expect_err("not ready").into_detail()
    }

    #[tokio::test]
    async fn it_is_ready_until_the_server_or_the_runtime_is_about_to_stop() {
        let tollgate = Tollgate::builder().start().await.expect("starts");
        let state = tollgate.api(ServeOptions::default());
        assert!(readyz(State(state.clone())).await.is_ok());
        state.set_closing(true);
        let told = "the server is about to stop; use another one".to_owned();
        assert_eq!(refused(&state).await, ("shutting_down", told));
        state.set_closing(false);
        assert!(readyz(State(state.clone())).await.is_ok());
        tollgate.shutdown().await;
        let told = "the backend does not answer; see `/v1/status`".to_owned();
        assert_eq!(refused(&state).await, ("backend_down", told));
    }
}
