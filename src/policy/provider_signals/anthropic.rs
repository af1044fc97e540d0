//! Anthropic: `anthropic-ratelimit-*` headers with instants, and errors with a type. The errors may also come as events
//! of a stream that began with a 200.
//!
//! The `anthropic-priority-*` headers are left alone: what exceeds the priority tier is served by the standard one.

use super::body::Body;
use super::headers::Headers;
use super::verdict::{Finding, Said};
use super::{Dimension, Remaining};

/// What a message says when the money that was set aside is spent.
const SPENT: [&str; 3] = ["spend limit", "specified api usage limits", "credit balance is too low"];

/// What is left. Tokens are rounded to the nearest thousand.
pub(super) fn remaining(headers: &mut Headers<'_>) -> Vec<Remaining> {
    let dimensions = [
        (Dimension::Requests, "requests"),
        (Dimension::Tokens, "tokens"),
        (Dimension::InputTokens, "input-tokens"),
        (Dimension::OutputTokens, "output-tokens"),
    ];
    let read = |(dimension, name): (Dimension, &str)| {
        let [limit, remaining, reset] =
            ["limit", "remaining", "reset"].map(|end| format!("anthropic-ratelimit-{name}-{end}"));
        let (remaining, resets_after) = headers.remaining(&limit, &remaining, &reset)?;
        Some(Remaining { dimension, remaining, resets_after })
    };
    dimensions.into_iter().filter_map(read).collect()
}

pub(super) fn judge(body: &Body<'_>, said: &mut Said) {
    let message = body.text_at(&["error", "message"]).to_ascii_lowercase();
    let is_spent = SPENT.iter().any(|words| message.contains(words));
    let error_code = body.text_at(&["error", "details", "error_code"]);
    said.finding = match body.text_at(&["error", "type"]) {
        _ if error_code == "enforced_spend_limit_reached" => Finding::Never("enforced_spend_limit_reached"),
        "invalid_request_error" | "rate_limit_error" if is_spent => Finding::Never("spend_limit"),
        "rate_limit_error" => Finding::Limited,
        "overloaded_error" => Finding::Overloaded,
        _ => said.finding,
    };
}
