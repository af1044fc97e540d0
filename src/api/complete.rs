//! `POST /v1/complete`: the end of a lease, and what was really used.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::body;
use super::object::Object;
use super::outcome::OutcomeFields;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{AmountFields, Checks, Text};
use crate::policy::{CallReport, Complete, LeaseError};
use crate::tollgate::Tollgate;

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
    #[serde(borrow, default)]
    outcome: Option<Object<OutcomeFields<'a>>>,
}

/// A completion, and how the call went if its client says so.
pub(super) struct Completion {
    request: Complete,
    report: Option<CallReport>,
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
    let completion = body::parse::<CompleteFields<'_>>(&json)?.check(state.tollgate())?;
    completion.carry_out(&state).await?;
    Ok(body::json(&Completed::ok()))
}

impl Completion {
    /// Ends the lease.
    pub(super) async fn carry_out(self, state: &ApiState) -> Result<(), LeaseError> {
        match &self.report {
            Some(report) => state.tollgate().finish(self.request, report).await,
            None => state.tollgate().complete(self.request).await,
        }
    }
}

impl CompleteFields<'_> {
    /// Checks every field. The job is the client's own note, and not kept.
    pub(super) fn check(&self, tollgate: &Tollgate) -> Result<Completion, Problem> {
        let mut checks = Checks::default();
        let lease_id = checks.lease_id(&self.lease_id);
        checks.label("job_id", self.job_id.as_ref());
        let actuals = checks.actuals(&self.actuals, tollgate.prices());
        let outcome = self.outcome.as_ref();
        let report = outcome.and_then(|Object(outcome)| outcome.check_into(&mut checks, tollgate.unix_ms()));
        let request = lease_id.zip(actuals).map(|(lease_id, actuals)| Complete { lease_id, actuals });
        checks.finish(request.map(|request| Completion { request, report }))
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
