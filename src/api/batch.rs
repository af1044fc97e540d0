//! `POST /v1/reserve/batch` and `/v1/complete/batch`: many requests in one body, each decided on its own.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body;
use super::complete::{CompleteFields, Completed};
use super::decision::Decision;
use super::problem::Problem;
use super::reserve::decide;
use super::state::ApiState;
use super::wire::ReserveFields;
use crate::policy::Mistake;

const ITEMS_MAX: usize = 256;

/// Items are parsed one by one, so that a bad one spoils no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchFields<'a> {
    #[serde(borrow)]
    requests: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

pub(super) async fn reserve(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    // Begun in order; behind a network they travel together.
    let results = join_all(items(&json)?.into_iter().map(|item| reserve_one(&state, item))).await;
    Ok(body::json(&Results { results }))
}

pub(super) async fn complete(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let results = join_all(items(&json)?.into_iter().map(|item| complete_one(&state, item))).await;
    Ok(body::json(&Results { results }))
}

async fn reserve_one(state: &ApiState, item: &RawValue) -> Decision {
    let parsed = body::parse::<ReserveFields<'_>>(item.get().as_bytes())
        .and_then(|fields| fields.check(state.tollgate().prices()));
    match parsed {
        Ok(request) => decide(state, request).await.unwrap_or_else(|refusal| Decision::refused_in_batch(*refusal)),
        Err(problem) => Decision::of_problem(problem),
    }
}

async fn complete_one(state: &ApiState, item: &RawValue) -> Completed {
    let parsed =
        body::parse::<CompleteFields<'_>>(item.get().as_bytes()).and_then(|fields| fields.check(state.tollgate()));
    let done = match parsed {
        Ok(completion) => completion.carry_out(state).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    done.map_or_else(Completed::of_problem, |()| Completed::ok())
}

fn items(json: &Bytes) -> Result<Vec<&RawValue>, Problem> {
    let BatchFields { requests } = body::parse(json)?;
    if requests.is_empty() || ITEMS_MAX < requests.len() {
        let problem = format!("has {} items", requests.len());
        return Err(Problem::mistakes(vec![Mistake::new("requests", problem, format!("give 1 to {ITEMS_MAX}"))]));
    }
    Ok(requests)
}
