//! `/`, the page people watch, and `/openapi.json`, the page programs read.

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

use crate::policy::LeaseId;

/// Every route, as OpenAPI 3.1.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

const PAGE: &str = include_str!("page.html");

/// Stands in the page where the nonce of one answer goes.
const NONCE: &str = "{{nonce}}";

pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

/// Nothing but the page's own script and style runs, whatever the names of limits hold.
pub(super) async fn page() -> Response {
    let nonce = LeaseId::generate().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).expect("visible ASCII")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}
