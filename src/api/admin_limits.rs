//! `/v1/admin/limits`: the definitions.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Serialize;

use super::body;
use super::limits::state_name;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::path_text;
use crate::policy::{DefinitionFields, KeyPattern};

#[derive(Serialize)]
struct Put {
    ok: bool,
    status: &'static str,
}

#[derive(Serialize)]
struct Entries<T> {
    limits: Vec<T>,
}

#[derive(Serialize)]
struct OneEntry<T> {
    limit: T,
}

pub(super) async fn put(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let definition = body::parse::<DefinitionFields>(&json)?.check().map_err(Problem::mistakes)?;
    let limit_state = state.tollgate().put_limit(definition).await?;
    Ok(body::json(&Put { ok: true, status: state_name(limit_state) }))
}

pub(super) async fn list(State(state): State<ApiState>) -> Result<Response, Problem> {
    Ok(body::json(&Entries { limits: state.tollgate().limits().await? }))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let pattern = pattern(key)?;
    let limit = state.tollgate().limit(&pattern).await?;
    Ok(body::json(&OneEntry { limit: limit.ok_or_else(|| undefined(&pattern))? }))
}

pub(super) async fn delete(
    State(state): State<ApiState>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let pattern = pattern(key)?;
    let limit = state.tollgate().delete_limit(&pattern).await?;
    Ok(body::json(&OneEntry { limit: limit.ok_or_else(|| undefined(&pattern))? }))
}

fn pattern(key: Result<Path<String>, PathRejection>) -> Result<KeyPattern, Problem> {
    let text = path_text("key", key)?;
    KeyPattern::parse(&text).map_err(|mistake| Problem::mistakes(vec![mistake.under("key")]))
}

fn undefined(pattern: &KeyPattern) -> Problem {
    Problem::not_found(format!("no definition has the key `{pattern}`; `GET /v1/admin/limits` lists those there are"))
}
