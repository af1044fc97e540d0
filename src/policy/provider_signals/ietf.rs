//! `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10: lists of names with parameters.

use super::formats::{self, When};
use super::headers::Headers;
use super::{Dimension, Remaining};

/// What is left under each policy whose unit is one of ours. Without a time of its reset it is of no use.
pub(super) fn remaining(headers: &mut Headers<'_>) -> Vec<Remaining> {
    let (mut found, mut ignored) = (Vec::new(), 0);
    let policies: Vec<Item<'_>> = headers.all("ratelimit-policy").flat_map(items).collect();
    for item in headers.all("ratelimit").flat_map(items) {
        let unit = policies.iter().find(|policy| policy.name == item.name).and_then(|policy| policy.parameter("qu"));
        let dimension = match unit {
            None | Some("\"requests\"") => Dimension::Requests,
            Some("\"tokens\"") => Dimension::Tokens,
            Some(_) => continue,
        };
        let remaining = item.parameter("r").and_then(formats::count);
        let reset = item.parameter("t").map(|t| formats::count(t).and_then(|_| formats::when(t, headers.now_unix_ms)));
        match (remaining, reset) {
            (Some(remaining), Some(Some(When::After(resets_after)))) => {
                found.push(Remaining { dimension, remaining, resets_after });
            }
            (Some(_), None) => {}
            _ => ignored += 1,
        }
    }
    headers.ignored += ignored;
    found
}

/// A member of a list: `"burst";q=100;w=60`.
struct Item<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Item<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(parameter, _)| *parameter == name).map(|(_, value)| *value)
    }
}

fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    split(list, b',').map(|member| {
        let mut parts = split(member, b';');
        let name = parts.next().unwrap_or_default();
        let parameters = parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
        Item { name, parameters }
    })
}

/// The parts of a text between separators that stand in no quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_separator = move |c: char| {
        let is_plain = !is_escaped;
        is_escaped = is_quoted && is_plain && c == '\\';
        is_quoted ^= is_plain && c == '"';
        !is_quoted && c == char::from(separator)
    };
    text.split(is_separator).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> (Vec<(Dimension, u64, u64)>, u32) {
        let mut headers = Headers::select(headers, 0);
        let found = remaining(&mut headers);
        let plain = |found: &Remaining| (found.dimension, found.remaining, found.resets_after.as_secs());
        (found.iter().map(plain).collect(), headers.ignored)
    }

    #[test]
    fn each_policy_says_what_it_has_left() {
        assert_eq!(read(&[("RateLimit", "\"default\";r=50;t=30")]), (vec![(Dimension::Requests, 50, 30)], 0));
        let policies = "\"burst\";q=100;w=60, \"daily \\\"all, any; it\\\"\";q=1000;w=86400;qu=\"tokens\";pk=:cGs9Ow==:,\
                        \"bytes\";q=9;qu=\"content-bytes\"";
        let limits = "\"bytes\";r=1;t=1, \"daily \\\"all, any; it\\\"\" ; r=7 ; t=3600 ; pk=:cGs9Ow==:";
        assert_eq!(
            read(&[("RateLimit-Policy", policies), ("RateLimit", limits), ("ratelimit", "\"burst\";r=0;t=5")]),
            (vec![(Dimension::Tokens, 7, 3_600), (Dimension::Requests, 0, 5)], 0)
        );
    }

    #[test]
    fn what_states_no_reset_or_no_number_is_of_no_use() {
        assert_eq!(read(&[("RateLimit", "\"default\";r=50")]), (vec![], 0));
        for list in [
            "",
            "\"a\"",
            "\"a\";r=-1;t=3",
            "\"a\";r=1.5;t=3",
            "\"a\";r=5;t=-3",
            "\"a\";r=5;t=999999999999",
            "\"a;r=1;t=1",
            "r",
        ] {
            assert_eq!(read(&[("RateLimit", list)]), (vec![], 1), "{list}");
        }
    }
}
