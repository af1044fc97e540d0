//! `GET /v1/limits`: what each limit has taken.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Serialize;

use super::body;
use super::paging::{PageQuery, check_count, read_query, unfit};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Checks, Shown, path_text};
use crate::policy::{Key, KeyPattern, LimitState, Mistake, Mode, Overage};
use crate::tollgate::LimitUsage;

#[derive(Serialize)]
struct Page<'a> {
    limits: Vec<UsageBody<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct UsageBody<'a> {
    key: Shown<&'a Key>,
    template: Option<Shown<&'a KeyPattern>>,
    kind: &'a str,
    unit: Option<&'a str>,
    mode: Mode,
    overage: Overage,
    capacity: u64,
    used: u64,
    available: u64,
    withheld: u64,
    debt: u128,
    waiters: usize,
    denied: u64,
    would_deny: u64,
    overage_total: u64,
    status: &'static str,
    pending_decrease_to: Option<u64>,
    paused_until: Option<u64>,
}

pub(super) async fn list(
    State(state): State<ApiState>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = read_query(query)?;
    let mut checks = Checks::default();
    let count = checks.take("limit", check_count(query.limit.as_deref()));
    let cursor = checks.take("cursor", check_cursor(query.cursor.as_deref()));
    let (count, cursor) = checks.finish(count.zip(cursor))?;
    let (limits, next_cursor) = state.tollgate().usages(cursor, count).await?;
    let limits = limits.iter().map(UsageBody::from).collect();
    Ok(body::json(&Page { limits, next_cursor: next_cursor.map(|cursor| cursor.to_string()) }))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let text = path_text("key", key)?;
    let key = Key::parse(&text).map_err(|mistake| Problem::mistakes(vec![mistake.under("key")]))?;
    let usage = state.tollgate().usage(&key).await?;
    let usage = usage
        .ok_or_else(|| Problem::not_found(format!("no definition covers `{key}`; `PUT /v1/admin/limits` makes one")))?;
    Ok(body::json(&UsageBody::from(&usage)))
}

/// How the state of a definition is written.
pub(super) const fn state_name(state: LimitState) -> &'static str {
    match state {
        LimitState::Active => "active",
        LimitState::Decreasing { .. } => "decreasing",
    }
}

fn check_cursor(text: Option<&str>) -> Result<u64, Mistake> {
    let Some(text) = text else { return Ok(0) };
    text.parse().map_err(|_| unfit(text, "use the `next_cursor` of the page before".to_owned()))
}

impl<'a> From<&'a LimitUsage> for UsageBody<'a> {
    fn from(LimitUsage { usage, waiters, paused_until_unix_ms }: &'a LimitUsage) -> Self {
        let pending_decrease_to = match usage.state {
            LimitState::Active => None,
            LimitState::Decreasing { to } => Some(to.get()),
        };
        Self {
            key: Shown(&usage.key),
            template: usage.template.as_ref().map(Shown),
            kind: &usage.definition.kind,
            unit: usage.definition.unit.as_deref(),
            mode: usage.definition.mode,
            overage: usage.definition.overage,
            capacity: usage.capacity,
            used: usage.capacity.saturating_sub(usage.available),
            available: usage.available,
            withheld: usage.withheld,
            debt: usage.debt,
            waiters: *waiters,
            denied: usage.counters.denied,
            would_deny: usage.counters.would_deny,
            overage_total: usage.counters.overage,
            status: state_name(usage.state),
            pending_decrease_to,
            paused_until: *paused_until_unix_ms,
        }
    }
}
