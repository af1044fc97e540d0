//! `POST /v1/reserve`: a lease over all that a call needs, now or not at all.

use axum::extract::{Request, State};
use axum::response::Response;

use super::body;
use super::decision::Decision;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::ReserveFields;
use crate::policy::{Refusal, Reserve};

pub(super) async fn reserve(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let request = body::parse::<ReserveFields<'_>>(&json)?.check(state.tollgate().prices())?;
    let decision = match decide(&state, request).await {
        Ok(granted) => granted,
        Err(refusal) => Decision::refused(*refusal)?,
    };
    Ok(body::json(&decision))
}

/// Asks, and leaves what is granted to the client, which completes it.
pub(super) async fn decide(state: &ApiState, request: Reserve) -> Result<Decision, Box<Refusal>> {
    let lease = state.tollgate().reserve(request).await?;
    Ok(Decision::granted(&lease.detach()))
}
