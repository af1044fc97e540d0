//! The one error map: whatever goes wrong, as `application/problem+json`.

use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::actors::RegistryError;
use crate::backends::BackendError;
use crate::policy::{InvalidRequest, LeaseError, Mistake};

/// The most mistakes that one answer lists: a body of a megabyte can hold a hundred thousand.
const MISTAKES_MAX: usize = 64;

const SAME_AGAIN: &str = "whether it was done is unknown, so send the same request again";

/// A request that was not done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    mistakes: Vec<Mistake>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<MistakeBody<'a>>,
}

#[derive(Serialize)]
struct MistakeBody<'a> {
    field: &'a str,
    problem: &'a str,
    hint: &'a str,
}

impl Problem {
    /// A request that cannot be done, whoever asks and however often.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// The same, by what its fields say.
    pub(super) fn mistakes(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.truncate(MISTAKES_MAX);
        let request = InvalidRequest(mistakes);
        Self { mistakes: request.0.clone(), ..Self::invalid(request.to_string()) }
    }

    /// There is no such resource, or no such route.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// The route is there, and does something else.
    pub(super) fn method_not_allowed() -> Self {
        let detail = "this route does not take this method; the `allow` header names those it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// Nobody knows who asks.
    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Who asks may not.
    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The body is longer than any request needs.
    pub(super) fn body_too_large(bytes_max: usize) -> Self {
        let detail = format!("the body is longer than {bytes_max} bytes; send fewer requests in one");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// The body did not arrive in time.
    pub(super) fn body_too_slow() -> Self {
        let detail = "the body did not arrive in time; nothing was done, send the request again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
    }

    /// The answer did not come in time.
    pub(super) fn answer_too_slow() -> Self {
        Self::unavailable("backend_error", format!("no answer came in time; {SAME_AGAIN}"))
    }

    /// It may work a little later.
    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// The backend did not say whether it did it.
    pub(super) fn outcome_unknown(problem: &str) -> Self {
        Self::unavailable("backend_error", format!("{problem}; {SAME_AGAIN}"))
    }

    /// One item of a batch tells its problem without a status.
    pub(super) fn into_detail(self) -> (&'static str, String) {
        (self.code, self.detail)
    }

    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), mistakes: Vec::new() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let errors = self.mistakes.iter().map(|mistake| MistakeBody {
            field: &mistake.field,
            problem: &mistake.problem,
            hint: &mistake.hint,
        });
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            error: self.code,
            errors: errors.collect(),
        };
        let text = serde_json::to_vec(&body).expect("strings and numbers can be written");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(CONTENT_TYPE, content_type)], text).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        Self::outcome_unknown(&error.0)
    }
}

impl From<LeaseError> for Problem {
    fn from(error: LeaseError) -> Self {
        match &error {
            LeaseError::KeyNotHeld(_) => Self::invalid(error.to_string()),
            LeaseError::Finished => Self::new(StatusCode::CONFLICT, "lease_finished", error.to_string()),
            LeaseError::Backend(problem) => Self::outcome_unknown(problem),
        }
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let (status, code) = match &error {
            RegistryError::KindConflict { .. } => (StatusCode::CONFLICT, "kind_conflict"),
            RegistryError::ShapeConflict { .. } => (StatusCode::CONFLICT, "shape_conflict"),
            RegistryError::TooManyLimits { .. } => (StatusCode::CONFLICT, "too_many_limits"),
            RegistryError::Contested { .. } => (StatusCode::CONFLICT, "superseded"),
            RegistryError::NotYetInForce(_) => (StatusCode::SERVICE_UNAVAILABLE, "backend_error"),
            RegistryError::NotSaved(_) => (StatusCode::INTERNAL_SERVER_ERROR, "not_saved"),
            RegistryError::Unavailable(problem) => return Self::outcome_unknown(problem),
        };
        Self::new(status, code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(problem: impl Into<Problem>, status: u16, code: &str, detail: &str) {
        let problem = problem.into();
        assert_eq!((problem.status.as_u16(), problem.code, problem.detail.as_str()), (status, code, detail));
    }

    #[test]
    fn where_the_outcome_is_unknown_the_same_is_to_be_sent_again() {
        let told = "it is down; whether it was done is unknown, so send the same request again";
        check(BackendError("it is down".to_owned()), 503, "backend_error", told);
        check(LeaseError::Backend("it is down".to_owned()), 503, "backend_error", told);
        check(RegistryError::Unavailable("it is down".to_owned()), 503, "backend_error", told);
        let told = "`a` is saved, and will be in force as soon as the ledger answers (it is down)";
        check(RegistryError::NotYetInForce(told.to_owned()), 503, "backend_error", told);
        let told = "no answer came in time; whether it was done is unknown, so send the same request again";
        check(Problem::answer_too_slow(), 503, "backend_error", told);
    }
}
