//! What the server says, as what it means: the same values that a Tollgate in this process answers.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::wire::Answer;
use crate::policy::{Amounts, BreakerName, DeniedKey, Grant, Key, LeaseError, LeaseId, Reason, Refusal};

/// How long to stay away if whoever stands before the server refuses, and does not say.
const TOO_MANY_RETRY_AFTER: Duration = Duration::from_secs(1);
/// As much of a text of somebody else is shown.
const SHOWN_CHARS_MAX: usize = 400;

/// There is no answer, or none that says whether the request was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unanswered(String);

impl Unanswered {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }

    /// As the answer to a reservation.
    pub(super) fn refusal(self) -> Box<Refusal> {
        Box::new(Refusal::permanent(Reason::BackendError(self.0)))
    }

    /// As the answer to anything else.
    pub(super) fn lease_error(self) -> LeaseError {
        LeaseError::Backend(self.0)
    }
}

/// The answer to one reservation.
#[derive(Deserialize)]
pub(super) struct DecisionFields {
    allowed: bool,
    #[serde(default)]
    lease_id: Option<String>,
    #[serde(default)]
    reserved_at_unix_ms: Option<u64>,
    #[serde(default)]
    retry_after_ms: u64,
    #[serde(default)]
    error: String,
    #[serde(default)]
    denied: Vec<DeniedFields>,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
struct DeniedFields {
    key: String,
    capacity: u64,
    available: u64,
    retry_after_ms: u64,
}

/// The answer to one completion; in a batch it may be that of an error.
#[derive(Deserialize)]
pub(super) struct CompletedFields {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    detail: String,
}

/// What is read of problem+json.
#[derive(Deserialize)]
struct ProblemFields {
    error: String,
    #[serde(default)]
    detail: String,
}

/// Reads the answer to a reservation under `id`.
pub(super) fn decision(id: LeaseId, told: Result<Answer, Unanswered>) -> Result<Grant, Box<Refusal>> {
    let answer = told.map_err(Unanswered::refusal)?;
    if !answer.status.is_success() {
        return Err(refused(&answer));
    }
    success::<DecisionFields>(&answer).map_err(Unanswered::refusal)?.check(id)
}

/// Reads a success of another kind; `named` are the keys that the request named.
pub(super) fn lease<T: DeserializeOwned>(told: Result<Answer, Unanswered>, named: &Amounts) -> Result<T, LeaseError> {
    let answer = told.map_err(Unanswered::lease_error)?;
    if !answer.status.is_success() {
        return Err(match serde_json::from_slice::<ProblemFields>(&answer.body) {
            Ok(problem) => lease_error(&problem.error, &problem.detail, named),
            Err(_) => unexpected(&answer).lease_error(),
        });
    }
    success(&answer).map_err(Unanswered::lease_error)
}

/// Reads a success.
pub(super) fn success<T: DeserializeOwned>(answer: &Answer) -> Result<T, Unanswered> {
    serde_json::from_slice(&answer.body).map_err(|_| unexpected(answer))
}

/// The refusal that an error stands for.
pub(super) fn refused(answer: &Answer) -> Box<Refusal> {
    if answer.status.as_u16() == 429 {
        // Not a word of Tollgate's: somebody before it did not let the request through.
        return Box::new(Refusal::overloaded(answer.retry_after.unwrap_or(TOO_MANY_RETRY_AFTER)));
    }
    match serde_json::from_slice::<ProblemFields>(&answer.body) {
        Ok(problem) => Box::new(Refusal {
            reason: reason(&problem.error, &problem.detail),
            retry_after: answer.retry_after.unwrap_or_default(),
            denied: Vec::new(),
        }),
        Err(_) => unexpected(answer).refusal(),
    }
}

impl DecisionFields {
    pub(super) fn check(self, id: LeaseId) -> Result<Grant, Box<Refusal>> {
        if self.allowed {
            let is_meant = self.lease_id.is_some_and(|text| LeaseId::parse(&text) == Ok(id));
            return match self.reserved_at_unix_ms.filter(|_| is_meant) {
                Some(reserved_at_unix_ms) => Ok(Grant { lease_id: id, reserved_at_unix_ms }),
                None => Err(Unanswered::new("the server granted, and did not name the lease").refusal()),
            };
        }
        let retry_after = Duration::from_millis(self.retry_after_ms);
        let denied = self.denied.into_iter().filter_map(DeniedFields::check).collect();
        Err(Box::new(Refusal { reason: reason(&self.error, &self.detail), retry_after, denied }))
    }
}

impl DeniedFields {
    /// A key that is none says nothing.
    fn check(self) -> Option<DeniedKey> {
        Some(DeniedKey {
            key: Key::parse(&self.key).ok()?,
            capacity: self.capacity,
            available: self.available,
            retry_after: Duration::from_millis(self.retry_after_ms),
            wait_at_least: Duration::ZERO,
        })
    }
}

impl CompletedFields {
    pub(super) fn check(self, named: &Amounts) -> Result<(), LeaseError> {
        if self.ok { Ok(()) } else { Err(lease_error(&self.error, &self.detail, named)) }
    }
}

/// The reverse of [`Reason::code`], and of the codes of the HTTP face itself. A request that the server will not take,
/// whoever repeats it, is an invalid one. One that did not arrive as a whole can be sent again, under the same id.
fn reason(code: &str, detail: &str) -> Reason {
    let (name, subject) = code.split_once(':').unwrap_or((code, ""));
    let key = || Key::parse(subject).ok();
    let known = match name {
        "" => Some(Reason::Denied),
        "lease_finished" => Some(Reason::LeaseFinished),
        "overloaded" => Some(Reason::Overloaded),
        "unknown_limit_key" => key().map(Reason::UnknownLimitKey),
        "never_fits" => key().map(Reason::NeverFits),
        "limit_decreasing" => key().map(Reason::LimitDecreasing),
        "limit_paused" => key().map(Reason::LimitPaused),
        "breaker_open" => BreakerName::parse(subject).ok().map(Reason::BreakerOpen),
        "backend_error" | "request_timeout" => Some(Reason::BackendError(shown(detail))),
        "invalid_request" | "unauthorized" | "forbidden" | "not_found" | "method_not_allowed" | "body_too_large" => {
            Some(Reason::InvalidRequest(shown(detail)))
        }
        _ => None,
    };
    known.unwrap_or_else(|| {
        let detail = if detail.is_empty() { String::new() } else { format!(": {}", shown(detail)) };
        Reason::BackendError(format!("the server answered `{}`, which is not known here{detail}", shown(code)))
    })
}

fn lease_error(code: &str, detail: &str, named: &Amounts) -> LeaseError {
    // The code is that of any bad request; which key it is stands in the words alone, and they are our own.
    let not_held = named.iter().map(|amount| LeaseError::KeyNotHeld(amount.key.clone()));
    match code {
        "lease_finished" => LeaseError::Finished,
        "invalid_request" => not_held
            .into_iter()
            .find(|error| error.to_string() == detail)
            .unwrap_or_else(|| LeaseError::Backend(shown(detail))),
        _ if detail.is_empty() => LeaseError::Backend(format!("the server answered `{}`", shown(code))),
        _ => LeaseError::Backend(shown(detail)),
    }
}

/// Something else answers at this address, or stands before the server and speaks for it.
fn unexpected(answer: &Answer) -> Unanswered {
    Unanswered::new(format!("the answer, with status {}, is not that of a Tollgate server", answer.status.as_u16()))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
