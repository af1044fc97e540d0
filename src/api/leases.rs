//! `GET /v1/leases/{lease_id}` and `POST /v1/renew`: a lease as it stands, and a longer one.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::body;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Checks, Shown, Text, path_text};
use crate::backends::{HeldAmount, LeaseView};
use crate::policy::retry_after::whole_ms;
use crate::policy::{Key, Label, LeaseId, Mistake, Moment, Renew, SECONDS_MAX, Seconds};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewFields<'a> {
    #[serde(borrow)]
    lease_id: Text<'a>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Renewed {
    ok: bool,
    expires_in_ms: u64,
}

#[derive(Serialize)]
struct LeaseBody<'a> {
    lease_id: Shown<LeaseId>,
    state: &'static str,
    reserved_at_unix_ms: u64,
    job_id: Option<&'a str>,
    tenant: Option<&'a str>,
    renew_within_ms: Option<u64>,
    holds: Vec<HoldBody<'a>>,
}

#[derive(Serialize)]
struct HoldBody<'a> {
    key: Shown<&'a Key>,
    amount: u64,
    expires_in_ms: u64,
}

pub(super) async fn renew(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let json = body::read(request, state.options().request_timeout).await?;
    let request = body::parse::<RenewFields<'_>>(&json)?.check()?;
    let left = state.tollgate().renew(request).await?;
    Ok(body::json(&Renewed { ok: true, expires_in_ms: whole_ms(left) }))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    lease_id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let text = path_text("lease_id", lease_id)?;
    let lease_id = LeaseId::parse(&text).map_err(|mistake| Problem::mistakes(vec![mistake.under("lease_id")]))?;
    let lease = state.tollgate().lease(lease_id).await?;
    let lease = lease.ok_or_else(|| {
        Problem::not_found(format!("no lease `{lease_id}` is known; it was never granted, or is over and forgotten"))
    })?;
    let renew_within = state.tollgate().renew_within_of(&lease).await?;
    Ok(body::json(&LeaseBody::new(&lease, renew_within, state.tollgate().now())))
}

impl RenewFields<'_> {
    fn check(&self) -> Result<Renew, Problem> {
        let mut checks = Checks::default();
        let lease_id = checks.lease_id(&self.lease_id);
        let timeout = self.timeout_seconds.map(|seconds| checks.take("timeout_seconds", check_timeout(seconds)));
        checks.finish(lease_id.map(|lease_id| Renew { lease_id, timeout: timeout.flatten() }))
    }
}

fn check_timeout(seconds: u64) -> Result<Seconds, Mistake> {
    let hint = || format!("use whole seconds from 1 to {SECONDS_MAX}, or leave it out");
    Seconds::new(seconds).ok_or_else(|| Mistake::new("", format!("is {seconds}"), hint()))
}

impl<'a> LeaseBody<'a> {
    fn new(lease: &'a LeaseView, renew_within: Option<Duration>, now: Moment) -> Self {
        let hold = |hold: &'a HeldAmount| HoldBody {
            key: Shown(&hold.key),
            amount: hold.amount,
            expires_in_ms: whole_ms(hold.expires_at.since(now)),
        };
        Self {
            lease_id: Shown(lease.lease_id),
            state: if lease.is_live { "live" } else { "finished" },
            reserved_at_unix_ms: lease.reserved_at_unix_ms,
            job_id: lease.job_id.as_ref().map(Label::as_str),
            tenant: lease.tenant.as_ref().map(Label::as_str),
            renew_within_ms: renew_within.map(whole_ms),
            holds: lease.holds.iter().map(hold).collect(),
        }
    }
}
