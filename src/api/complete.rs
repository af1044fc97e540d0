//! `POST /v1/complete`: the end of a lease, and what was really used.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::body;
use super::object::Object;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{AmountFields, Checks, Text};
use crate::policy::{Amounts, Complete};

/// What a completion states.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompleteFields<'a> {
    #[serde(borrow)]
    lease_id: Text<'a>,
    #[serde(borrow, default)]
    job_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    actuals: Vec<Object<AmountFields<'a>>>,
}

/// Completed, or in a batch why not.
#[derive(Serialize)]
pub(super) struct Completed {
    ok: bool,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

pub(super) async fn complete(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let request = body::parse::<CompleteFields<'_>>(&json)?.check()?;
    state.tollgate().complete(request).await?;
    Ok(body::json(&Completed::ok()))
}

impl CompleteFields<'_> {
    /// Checks every field. The job is the client's own note, and not kept.
    pub(super) fn check(&self) -> Result<Complete, Problem> {
        let mut checks = Checks::default();
        let lease_id = checks.lease_id(&self.lease_id);
        checks.label("job_id", self.job_id.as_ref());
        let actuals = checks.amounts("actuals", &self.actuals, Amounts::used);
        checks.finish(lease_id.zip(actuals).map(|(lease_id, actuals)| Complete { lease_id, actuals }))
    }
}

impl Completed {
    /// It is.
    pub(super) fn ok() -> Self {
        Self { ok: true, error: "", detail: None }
    }

    /// The answer in place of a bad item of a batch.
    pub(super) fn of_problem(problem: Problem) -> Self {
        let (error, detail) = problem.into_detail();
        Self { ok: false, error, detail: Some(detail) }
    }
}
