//! `/v1/admin/breakers`: what a person decides in place of a circuit breaker.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::body;
use super::breakers::{find, parse_name};
use super::problem::Problem;
use super::state::ApiState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutFields {
    #[serde(rename = "override")]
    manual: Manual,
}

/// What a person decides. It holds until it is undone.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Manual {
    ForcedOpen,
    ForcedClosed,
    Disabled,
    /// Undoes the others, and lets the breaker begin afresh.
    None,
}

pub(super) async fn put(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let name = parse_name(name)?;
    let json = body::read(request, state.options().request_timeout).await?;
    let PutFields { manual } = body::parse(&json)?;
    let breaker = find(&state, &name)?;
    let told = match manual {
        Manual::ForcedOpen => breaker.force_open().await,
        Manual::ForcedClosed => breaker.force_closed().await,
        Manual::Disabled => breaker.disable().await,
        Manual::None => breaker.reset().await,
    };
    told.map_err(|error| Problem::outcome_unknown(&error.to_string()))?;
    Ok(body::json(&breaker.view()))
}
