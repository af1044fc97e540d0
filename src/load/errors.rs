//! What went wrong during a load: few kinds, told apart by what was said, and when each of them came.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tally::millis;
use crate::policy::Moment;

/// As many are told apart by their texts; what comes after them is counted by its name alone.
const TEXTS_MAX: usize = 16;
/// As much of what was said is kept.
const TEXT_CHARS_MAX: usize = 300;
const OTHERS: &str = "(not one of those that are shown)";

/// What went wrong, by name and text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors(BTreeMap<(&'static str, String), Seen>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    count: u64,
    first: Moment,
    last: Moment,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorKind {
    pub(crate) name: &'static str,
    /// What was said of it, without control characters.
    pub(crate) text: String,
    pub(crate) count: u64,
    /// When the first and the last of them were answered, since the begin of the load.
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

impl Errors {
    pub(super) fn note(&mut self, name: &'static str, text: &str, at: Moment) {
        let text = text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect();
        self.put((name, text), Seen { count: 1, first: at, last: at });
    }

    /// Takes over what `other` has seen.
    pub(super) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(kind, seen)| self.put(kind.clone(), *seen));
    }

    /// Names are few and written in this program, so that with them as the only texts this is bounded too.
    fn put(&mut self, mut kind: (&'static str, String), seen: Seen) {
        if TEXTS_MAX <= self.0.len() && !self.0.contains_key(&kind) {
            OTHERS.clone_into(&mut kind.1);
        }
        let sum = self.0.entry(kind).or_insert(Seen { count: 0, ..seen });
        sum.count += seen.count;
        (sum.first, sum.last) = (sum.first.min(seen.first), sum.last.max(seen.last));
    }

    /// The most frequent first.
    pub(super) fn list(self, begin: Moment) -> Vec<ErrorKind> {
        let ms = |at: Moment| millis(at.since(begin));
        let kind = |((name, text), seen): ((&'static str, String), Seen)| {
            let Seen { count, first, last } = seen;
            ErrorKind { name, text, count, first_ms: ms(first), last_ms: ms(last) }
        };
        let mut kinds: Vec<_> = self.0.into_iter().map(kind).collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        kinds
    }
}

impl ErrorKind {
    /// For people.
    pub(super) fn line(&self) -> String {
        let Self { name, text, count, .. } = self;
        let [first, last] = [self.first_ms, self.last_ms].map(|ms| ms as f64 / 1_000.0);
        format!("{count} {name}, from {first:.1} s to {last:.1} s: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn kinds_are_told_apart_by_what_was_said() {
        let (mut one, mut other) = (Errors::default(), Errors::default());
        one.note("backend_error", "no\nanswer", at(1_500));
        other.note("complete_failed", "no answer", at(1_300));
        other.note("complete_failed", "it is over", at(1_700));
        other.note("complete_failed", "no answer", at(1_100));
        other.note("backend_error", "noanswer", at(9_000));
        one.add(&other);
        let lines: Vec<_> = one.list(at(1_000)).iter().map(ErrorKind::line).collect();
        assert_eq!(
            lines,
            [
                "2 backend_error, from 0.5 s to 8.0 s: noanswer",
                "2 complete_failed, from 0.1 s to 0.3 s: no answer",
                "1 complete_failed, from 0.7 s to 0.7 s: it is over",
            ]
        );
    }

    #[test]
    fn texts_without_end_are_counted_in_bounded_memory() {
        let mut errors = Errors::default();
        for number in 0..1_000 {
            errors.note("backend_error", &format!("{number} {}", "x".repeat(10_000)), at(number));
        }
        let kinds = errors.list(at(0));
        assert_eq!(kinds.len(), TEXTS_MAX + 1);
        assert_eq!((kinds[0].count, kinds[0].text.as_str()), (1_000 - TEXTS_MAX as u64, OTHERS));
        assert!(kinds.iter().all(|kind| kind.text.chars().count() <= TEXT_CHARS_MAX));
    }
}
