//! OpenAI: `x-ratelimit-*` headers with Go durations, and errors with a type, a code and a message.

use std::time::Duration;

use super::body::Body;
use super::headers::Headers;
use super::message;
use super::verdict::{Finding, Said};
use super::{Dimension, Remaining};

/// What is left of the calls and the tokens. The reset is when all of it is back, which is later than one call needs.
pub(super) fn remaining(headers: &mut Headers<'_>) -> Vec<Remaining> {
    let dimensions = [
        (Dimension::Requests, ["limit-requests", "remaining-requests", "reset-requests"]),
        (Dimension::Tokens, ["limit-tokens", "remaining-tokens", "reset-tokens"]),
    ];
    let read = |(dimension, names): (Dimension, [&str; 3])| {
        let [limit, remaining, reset] = names.map(|name| format!("x-ratelimit-{name}"));
        let (remaining, resets_after): (u64, Duration) = headers.remaining(&limit, &remaining, &reset)?;
        Some(Remaining { dimension, remaining, resets_after })
    };
    dimensions.into_iter().filter_map(read).collect()
}

pub(super) fn judge(body: &Body<'_>, said: &mut Said) {
    let (kind, code) = (body.text_at(&["error", "type"]), body.text_at(&["error", "code"]));
    said.dimension = match kind {
        "requests" => Some(Dimension::Requests),
        "tokens" => Some(Dimension::Tokens),
        _ => None,
    };
    for word in [code, kind] {
        match word {
            "insufficient_quota" => said.finding = Finding::Never("insufficient_quota"),
            "organization_usage_limit_exceeded" => {
                said.finding = Finding::Never("organization_usage_limit_exceeded");
            }
            _ if word.ends_with("_spend_limit_exceeded") => said.finding = Finding::Never("spend_limit_exceeded"),
            "server_is_overloaded" | "slow_down" => said.finding = Finding::Overloaded,
            // In a stream that began with a 200.
            "rate_limit_exceeded" if !said.is_refusal() => said.finding = Finding::Limited,
            _ => continue,
        }
        break;
    }
    if said.finding == Finding::Limited && is_too_large(body.message()) {
        said.finding = Finding::Never("request_too_large");
    }
    said.read_message_wait(body);
}

/// Whether one call asks for more than the whole limit.
fn is_too_large(text: &str) -> bool {
    let limit_and_requested = message::number_behind(text, "Limit ").zip(message::number_behind(text, "Requested "));
    text.contains("Request too large") || limit_and_requested.is_some_and(|(limit, requested)| limit < requested)
}
