//! What providers say only in the sentences they write for people.

use std::time::Duration;

use super::SIGNAL_WAIT_MAX;
use super::formats;

/// How a sentence that ends in a wait begins; in small letters.
const WAITS: [&str; 4] = ["try again in ", "retry in ", "retry after ", "try again after "];

/// The wait of `Please try again in 1.146s`, `Please retry in 10h17m5.7s`, `Please retry after 45 seconds`. An error if
/// such a sentence states none that makes sense.
pub(super) fn wait(message: &str) -> Option<Result<Duration, ()>> {
    let message = message.to_ascii_lowercase();
    let at = WAITS.iter().filter_map(|start| message.find(start).map(|at| at + start.len())).min()?;
    let mut words = message.get(at..)?.split_whitespace();
    let (number, unit) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // What closes the sentence, a quotation or a JSON text may follow without a space.
    let start = |word: &'_ str| {
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(word.len());
        word[..end].trim_end_matches('.').to_owned()
    };
    let wait = match start(unit).as_str() {
        "second" | "seconds" => formats::go_duration(&format!("{number}s")),
        "minute" | "minutes" => formats::go_duration(&format!("{number}m")),
        "hour" | "hours" => formats::go_duration(&format!("{number}h")),
        "ms" | "millisecond" | "milliseconds" => formats::go_duration(&format!("{number}ms")),
        _ => formats::go_duration(&start(number)),
    };
    Some(wait.filter(|wait| *wait <= SIGNAL_WAIT_MAX).ok_or(()))
}

/// The number behind `name`, as in `Limit 30000, Requested 34307` or `limit: 0`.
pub(super) fn number_behind(message: &str, name: &str) -> Option<u64> {
    numbers_behind(message, name).next()
}

/// Each number behind `name`. A number with decimals is none, nor is one in groups: what it begins with is another.
pub(super) fn numbers_behind<'a>(message: &'a str, name: &'a str) -> impl Iterator<Item = u64> {
    message.match_indices(name).filter_map(move |(at, _)| {
        let rest = message[at + name.len()..].trim_start_matches([':', ' ']);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(end);
        let is_a_part =
            behind.strip_prefix(['.', ',']).is_some_and(|more| more.starts_with(|c: char| c.is_ascii_digit()));
        digits.parse().ok().filter(|_| !is_a_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_in_the_sentence_that_states_it() {
        for (message, ms) in [
            (
                "Rate limit reached for gpt-4o. Limit 30000, Used 30000, Requested 573. Please try again in 1.146s. Visit x.",
                1_146,
            ),
            ("Please try again in 6m0s.", 360_000),
            ("Please try again in 20s", 20_000),
            ("Please try again in 12ms. Visit", 12),
            ("limit: 5, model: x\nPlease retry in 10h17m5.7s.", 37_025_700),
            ("exceeded token rate limit. Please retry after 45 seconds. Please go here", 45_000),
            ("{ \"message\": \"Rate limit is exceeded. Try again in 12 seconds.\" }", 12_000),
            ("{\"message\": \"Please retry in 3s.\"", 3_000),
            ("Try again in 1 minute.", 60_000),
        ] {
            assert_eq!(wait(message), Some(Ok(Duration::from_millis(ms))), "{message}");
        }
        for message in ["Please try again in -5s.", "retry after the sun sets", "Please retry in ", "retry in 9999h."] {
            assert_eq!(wait(message), Some(Err(())), "{message}");
        }
        for message in ["", "Please try again later.", "retry in", "Too many requests"] {
            assert_eq!(wait(message), None, "{message}");
        }
    }

    #[test]
    fn numbers_are_found_behind_their_names() {
        let message = "Request too large: Limit 30000, Requested 34307. limit: 0, limit: 0.5, limit: x";
        assert_eq!(number_behind(message, "Limit"), Some(30_000));
        assert_eq!(number_behind(message, "Requested"), Some(34_307));
        assert_eq!(numbers_behind(message, "limit").collect::<Vec<_>>(), [0]);
        assert_eq!(number_behind("Limit 99999999999999999999", "Limit"), None);
        assert_eq!(number_behind("Limit 10,000, Requested 573", "Limit"), None, "not ten");
        assert_eq!(number_behind("Limit", "Limit"), None);
    }
}
