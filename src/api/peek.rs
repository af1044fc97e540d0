//! `POST /v1/peek`: what a reservation would be answered, without charging it.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::body;
use super::decision::Decision;
use super::object::Object;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{AmountFields, Checks};
use crate::policy::Amounts;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeekFields<'a> {
    #[serde(borrow)]
    requirements: Vec<Object<AmountFields<'a>>>,
}

pub(super) async fn peek(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let fields: PeekFields<'_> = body::parse(&json)?;
    let mut checks = Checks::default();
    let amounts = checks.requirements(&fields.requirements, state.tollgate().prices(), Amounts::to_peek);
    let decision = match state.tollgate().peek(&checks.finish(amounts)?).await {
        Ok(()) => Decision::fits(),
        Err(refusal) => Decision::refused(*refusal)?,
    };
    Ok(body::json(&decision))
}
