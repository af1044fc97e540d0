//! What is sent.

use std::time::Duration;

use serde::Serialize;

use crate::client::limiter::Completion;
use crate::policy::retry_after::whole_ms;
use crate::policy::{Amounts, CallReport, Fault, Label, LeaseId, Priority, Renew, Reserve};

/// Names the lease, in text.
#[derive(Serialize)]
struct Id(String);

impl From<LeaseId> for Id {
    fn from(id: LeaseId) -> Self {
        Self(id.to_string())
    }
}

#[derive(Serialize)]
struct AmountBody<'a> {
    key: &'a str,
    amount: u64,
}

/// A reservation.
#[derive(Serialize)]
pub(super) struct ReserveBody<'a> {
    lease_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    requirements: Vec<AmountBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_wait_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<&'static str>,
}

/// A completion.
#[derive(Serialize)]
pub(super) struct CompleteBody<'a> {
    lease_id: Id,
    actuals: Vec<AmountBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeBody>,
}

#[derive(Serialize)]
struct OutcomeBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    provider: &'static str,
}

/// A renewal.
#[derive(Serialize)]
pub(super) struct RenewBody {
    lease_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
}

impl<'a> ReserveBody<'a> {
    pub(super) fn new(request: &'a Reserve) -> Self {
        Self {
            lease_id: request.lease_id.into(),
            job_id: request.labels.job_id.as_ref().map(Label::as_str),
            tenant: request.labels.tenant.as_ref().map(Label::as_str),
            requirements: amounts(&request.amounts),
            breaker: request.breaker.as_ref().map(|name| name.as_str()),
            max_wait_ms: None,
            priority: None,
        }
    }

    pub(super) fn waiting(request: &'a Reserve, max_wait: Duration, priority: Priority) -> Self {
        Self { max_wait_ms: Some(ms(max_wait)), priority: Some(priority.name()), ..Self::new(request) }
    }
}

impl<'a> CompleteBody<'a> {
    pub(super) fn new(completion: &'a Completion) -> Self {
        Self {
            lease_id: completion.request.lease_id.into(),
            actuals: amounts(&completion.request.actuals),
            outcome: completion.report.as_ref().and_then(OutcomeBody::new),
        }
    }
}

impl OutcomeBody {
    /// `None` for an outcome that says nothing.
    fn new(report: &CallReport) -> Option<Self> {
        let outcome = &report.outcome;
        let status = outcome.status.filter(|status| (100..=599).contains(status));
        (status.is_some() || outcome.fault.is_some()).then(|| Self {
            status,
            error: outcome.fault,
            latency_ms: outcome.latency.map(ms),
            retry_after_ms: outcome.retry_after.map(whole_ms),
            provider: report.provider.name(),
        })
    }
}

impl RenewBody {
    pub(super) fn new(request: Renew) -> Self {
        Self { lease_id: request.lease_id.into(), timeout_seconds: request.timeout.map(|timeout| timeout.get()) }
    }
}

/// A sum of several amounts that is too large for one number goes as several again.
fn amounts(amounts: &Amounts) -> Vec<AmountBody<'_>> {
    let mut bodies = Vec::with_capacity(amounts.len());
    for summed in amounts {
        let key = summed.key.as_str();
        let mut left = summed.amount;
        while let Some(rest) = left.checked_sub(u128::from(u64::MAX)).filter(|rest| *rest != 0) {
            bodies.push(AmountBody { key, amount: u64::MAX });
            left = rest;
        }
        bodies.push(AmountBody { key, amount: u64::try_from(left).unwrap_or(u64::MAX) });
    }
    bodies
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The bytes of a body.
pub(super) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers can be written")
}
