//! `/v1/breakers`: what each circuit breaker does, and its permits for calls that reserve nothing.

use std::borrow::Cow;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::body;
use super::object::Object;
use super::outcome::OutcomeFields;
use super::paging::{PageQuery, check_count, read_query};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Checks, Shown, Text, path_text};
use crate::policy::{BreakerName, BreakerView, Mistake, PermitId};
use crate::tollgate::Breaker;

#[derive(Serialize)]
struct Page {
    breakers: Vec<BreakerView>,
    next_cursor: Option<String>,
}

/// Let through, or refused.
#[derive(Serialize)]
struct Entered {
    allowed: bool,
    permit: Option<Shown<PermitId>>,
    retry_after_ms: u64,
    error: Cow<'static, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFields<'a> {
    #[serde(borrow)]
    permit: Text<'a>,
    #[serde(borrow)]
    outcome: Object<OutcomeFields<'a>>,
}

#[derive(Serialize)]
struct Recorded {
    ok: bool,
    counted: bool,
}

pub(super) async fn list(
    State(state): State<ApiState>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = read_query(query)?;
    let mut checks = Checks::default();
    let count = checks.take("limit", check_count(query.limit.as_deref()));
    let cursor = checks.take("cursor", query.cursor.as_deref().map(BreakerName::parse).transpose());
    let (count, cursor) = checks.finish(count.zip(cursor))?;
    let mut breakers = state.tollgate().breakers();
    breakers.retain(|breaker| cursor.as_ref().is_none_or(|cursor| *cursor < breaker.name));
    let has_more = count < breakers.len();
    breakers.truncate(count);
    let next_cursor = breakers.last().filter(|_| has_more).map(|last| last.name.to_string());
    Ok(body::json(&Page { breakers, next_cursor }))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    Ok(body::json(&find(&state, &parse_name(name)?)?.view()))
}

pub(super) async fn enter(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let name = parse_name(name)?;
    body::read_nothing(request, state.options().request_timeout).await?;
    let breaker =
        state.tollgate().breaker(&name).map_err(|full| Problem::unavailable("overloaded", full.to_string()))?;
    let entered = match breaker.issue_permit() {
        Ok(permit) => Entered { allowed: true, permit: Some(Shown(permit)), retry_after_ms: 0, error: "".into() },
        Err(open) => {
            let error = format!("breaker_open:{name}").into();
            Entered { allowed: false, permit: None, retry_after_ms: open.retry_after_ms(), error }
        }
    };
    Ok(body::json(&entered))
}

pub(super) async fn record(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let name = parse_name(name)?;
    let json = body::read(request, state.options().request_timeout).await?;
    let fields = body::parse::<RecordFields<'_>>(&json)?;
    let mut checks = Checks::default();
    let permit = checks.take("permit", parse_permit(fields.permit.as_str()));
    let report = fields.outcome.0.check_into(&mut checks, state.tollgate().unix_ms());
    let (permit, report) = checks.finish(permit.zip(report))?;
    let breaker = find(&state, &name)?;
    let counted = state.tollgate().record_issued(&breaker, permit, &report);
    Ok(body::json(&Recorded { ok: true, counted }))
}

/// The breaker of this name, which must be there.
pub(super) fn find(state: &ApiState, name: &BreakerName) -> Result<Breaker, Problem> {
    state.tollgate().find_breaker(name).ok_or_else(|| {
        Problem::not_found(format!("no breaker `{name}` is known; it is made by its first call, or by `[[breakers]]`"))
    })
}

/// The part of the path that names a breaker.
pub(super) fn parse_name(name: Result<Path<String>, PathRejection>) -> Result<BreakerName, Problem> {
    let text = path_text("name", name)?;
    BreakerName::parse(&text).map_err(|mistake| Problem::mistakes(vec![mistake.under("name")]))
}

fn parse_permit(text: &str) -> Result<PermitId, Mistake> {
    PermitId::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Mistake::new("", format!("is `{shown}`, which is no permit"), "send the `permit` that `enter` answered")
    })
}
