//! What a rule is, and how it is enforced.

use super::source::{self, Line, Source};

/// A rule that each line of the repository keeps.
pub(super) struct Rule {
    /// Whether a line of the file with this path breaks it.
    pub(super) is_broken: fn(path: &str, line: &Line<'_>) -> bool,
    /// What to do instead.
    pub(super) instead: &'static str,
}

impl Rule {
    /// Holds the rule against examples, then against the repository.
    #[track_caller]
    pub(super) fn enforce(&self, bad: &[(&str, &str)], fine: &[(&str, &str)]) {
        for (path, text) in bad {
            assert!(!self.broken_in(&Source::new(*path, *text)).is_empty(), "the rule misses `{text}` in {path}");
        }
        for (path, text) in fine {
            assert!(self.broken_in(&Source::new(*path, *text)).is_empty(), "the rule catches `{text}` in {path}");
        }
        let broken: Vec<_> = source::all().iter().flat_map(|source| self.broken_in(source)).collect();
        assert!(broken.is_empty(), "{}:\n{}", self.instead, broken.join("\n"));
    }

    fn broken_in(&self, source: &Source) -> Vec<String> {
        let lines = source.lines().into_iter().filter(|line| (self.is_broken)(&source.path, line));
        lines.map(|line| format!("  {}:{}: {}", source.path, line.number, line.raw.trim())).collect()
    }
}

/// The names and numbers in a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}
