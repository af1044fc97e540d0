//! The headers that say something about limits: a bounded few of them, found by name whatever its case.

use std::time::Duration;

use super::formats::{self, When};

/// The most headers of interest that are read.
pub const HEADERS_MAX: usize = 64;
/// The longest value of a header that is read, in bytes.
pub const HEADER_BYTES_MAX: usize = 256;

/// What the names of interest begin with.
const PREFIXES: [&str; 6] =
    ["retry-after", "x-ms-retry-after-ms", "x-ratelimit-", "ratelimit", "anthropic-ratelimit-", "anthropic-priority-"];

/// The headers of interest, and how many values of them were of no use.
pub(super) struct Headers<'a> {
    kept: Vec<(&'a str, &'a str)>,
    pub(super) now_unix_ms: u64,
    pub(super) ignored: u32,
}

impl<'a> Headers<'a> {
    pub(super) fn select(headers: &[(&'a str, &'a str)], now_unix_ms: u64) -> Self {
        let is_of_interest = |name: &str| PREFIXES.iter().any(|prefix| starts_with(name, prefix));
        let all = headers.iter().filter(|(name, _)| is_of_interest(name)).take(HEADERS_MAX);
        let (kept, too_long): (Vec<_>, Vec<_>) = all.partition(|(_, value)| value.len() <= HEADER_BYTES_MAX);
        Self { kept, now_unix_ms, ignored: u32::try_from(too_long.len()).unwrap_or(u32::MAX) }
    }

    /// The values of each header of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.kept.iter().filter(move |(kept, _)| kept.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The first header of this name as `read` has it; what it cannot read is counted.
    pub(super) fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.all(name).next()?;
        let read = read(value);
        self.ignored += u32::from(read.is_none());
        read
    }

    /// A wait or an instant.
    pub(super) fn when(&mut self, name: &str) -> Option<When> {
        let now_unix_ms = self.now_unix_ms;
        self.read(name, |value| formats::when(value, now_unix_ms))
    }

    /// What is left of one limit, by its three headers. A limit of less than one has not been stated in truth, as Azure
    /// does with -1 and 0, and neither have the two that go with it.
    pub(super) fn remaining(&mut self, limit: &str, remaining: &str, reset: &str) -> Option<(u64, Duration)> {
        // `100, 100;w=60`: what follows the first number are the windows.
        let positive = |value: &str| {
            let number = value.split([',', ';']).next().unwrap_or_default();
            formats::count(number).filter(|limit| *limit != 0)
        };
        let is_stated = self.all(limit).next().is_none() || self.read(limit, positive).is_some();
        let remaining = is_stated.then(|| self.read(remaining, formats::count))?;
        let reset = self.when(reset);
        Some((remaining?, reset?.after(self.now_unix_ms)))
    }

    /// The wait of the headers that state one, the most trusted first. One of zero lets the next speak.
    pub(super) fn retry_after(&mut self) -> Option<When> {
        let mut first = None;
        for name in ["retry-after-ms", "x-ms-retry-after-ms", "retry-after"] {
            let when =
                if name.ends_with("-ms") { self.read(name, formats::millis).map(When::After) } else { self.when(name) };
            first = first.or(when.filter(|when| !when.after(self.now_unix_ms).is_zero()));
        }
        first
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
