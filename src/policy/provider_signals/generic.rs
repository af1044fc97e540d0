//! Any other provider: the headers that are standards, or nearly so, and the problem types of the same draft.

use super::body::Body;
use super::headers::Headers;
use super::verdict::{Finding, Said};
use super::{Dimension, Remaining, ietf, openai};

/// What is left, by the first of these that says so: `RateLimit`, the fields of its third draft, `X-RateLimit-*` by
/// dimension as OpenAI has them, `X-RateLimit-*` alone. Those that name no unit count requests.
pub(super) fn remaining(headers: &mut Headers<'_>) -> Vec<Remaining> {
    let mut found = ietf::remaining(headers);
    if found.is_empty() {
        found.extend(requests(headers, "ratelimit"));
    }
    if found.is_empty() {
        found = openai::remaining(headers);
    }
    if found.is_empty() {
        found.extend(requests(headers, "x-ratelimit"));
    }
    found
}

fn requests(headers: &mut Headers<'_>, prefix: &str) -> Option<Remaining> {
    let [limit, remaining, reset] = ["limit", "remaining", "reset"].map(|end| format!("{prefix}-{end}"));
    let (remaining, resets_after) = headers.remaining(&limit, &remaining, &reset)?;
    Some(Remaining { dimension: Dimension::Requests, remaining, resets_after })
}

pub(super) fn judge(body: &Body<'_>, said: &mut Said) {
    let kind = body.text_at(&["type"]);
    if said.is_refusal() && kind.ends_with("#temporary-reduced-capacity") {
        said.finding = Finding::Overloaded;
    }
}
