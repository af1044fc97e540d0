//! The answer to a reservation.

use std::borrow::Cow;

use serde::Serialize;

use super::problem::Problem;
use super::wire::Shown;
use crate::policy::{DeniedKey, Grant, Key, LeaseId, Reason, Refusal, retry_after};

/// Granted or refused.
#[derive(Serialize)]
pub(super) struct Decision {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_id: Option<Shown<LeaseId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_at_unix_ms: Option<u64>,
    retry_after_ms: u64,
    error: Cow<'static, str>,
    denied: Vec<Denied>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize)]
struct Denied {
    key: Shown<Key>,
    capacity: u64,
    available: u64,
    retry_after_ms: u64,
}

impl Decision {
    /// There is room. Nothing was charged.
    pub(super) fn fits() -> Self {
        Self {
            allowed: true,
            lease_id: None,
            reserved_at_unix_ms: None,
            retry_after_ms: 0,
            error: Cow::Borrowed(""),
            denied: Vec::new(),
            detail: None,
        }
    }

    /// There is a lease.
    pub(super) fn granted(grant: &Grant) -> Self {
        let (lease_id, reserved_at_unix_ms) = (Some(Shown(grant.lease_id)), Some(grant.reserved_at_unix_ms));
        Self { lease_id, reserved_at_unix_ms, ..Self::fits() }
    }

    /// The answer that stands alone: where the request is wrong or its outcome unknown, the status says so.
    pub(super) fn refused(refusal: Refusal) -> Result<Self, Problem> {
        match refusal.reason {
            Reason::InvalidRequest(problem) => Err(Problem::invalid(problem)),
            Reason::BackendError(problem) => Err(Problem::outcome_unknown(&problem)),
            _ => Ok(Self::from_refusal(refusal)),
        }
    }

    /// The answer that stands in a batch, where only it can tell what was wrong.
    pub(super) fn refused_in_batch(refusal: Refusal) -> Self {
        Self::refused(refusal).unwrap_or_else(Self::of_problem)
    }

    /// The answer in place of a bad item of a batch.
    pub(super) fn of_problem(problem: Problem) -> Self {
        let (code, detail) = problem.into_detail();
        Self { allowed: false, error: Cow::Borrowed(code), detail: Some(detail), ..Self::fits() }
    }

    fn from_refusal(refusal: Refusal) -> Self {
        Self {
            allowed: false,
            retry_after_ms: refusal.retry_after_ms(),
            error: Cow::Owned(refusal.reason.code()),
            denied: refusal.denied.into_iter().map(Denied::from).collect(),
            ..Self::fits()
        }
    }
}

impl From<DeniedKey> for Denied {
    fn from(denied: DeniedKey) -> Self {
        // Zero says that waiting does not help.
        let retry_after_ms = if denied.retry_after.is_zero() { 0 } else { retry_after::whole_ms(denied.retry_after) };
        Self { key: Shown(denied.key), capacity: denied.capacity, available: denied.available, retry_after_ms }
    }
}
