//! The types of settings: how each is read out of a section, and which hint a bad one gets.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::scalar::shown;
use super::section::Section;
use crate::policy::Mistake;

impl<'a> Section<'_, 'a> {
    /// A whole number in `range`.
    pub(super) fn integer(&mut self, name: &'a str, range: RangeInclusive<u64>) -> Option<u64> {
        self.value(name, |number: i128| {
            u64::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
                let hint = format!("use a whole number from {} to {}", range.start(), range.end());
                Mistake::new("", format!("is {number}"), hint)
            })
        })
    }

    /// How many of something.
    pub(super) fn count(&mut self, name: &'static str, range: RangeInclusive<u64>, default: usize) -> usize {
        self.integer(name, range).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    }

    /// A time in milliseconds.
    pub(super) fn millis(&mut self, name: &'static str, range: RangeInclusive<u64>, default: Duration) -> Duration {
        self.integer(name, range).map_or(default, Duration::from_millis)
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, name: &'static str, default: bool) -> bool {
        self.value(name, Ok).unwrap_or(default)
    }

    /// A text, however long.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.value(name, Ok)
    }

    /// An IP address and a port.
    pub(super) fn address(&mut self, name: &'static str, default: SocketAddr) -> SocketAddr {
        let parse = |text: String| {
            text.parse().map_err(|_| {
                let problem = format!("is `{}`, which is no address", shown(&text));
                Mistake::new("", problem, "write an IP address and a port, for example `127.0.0.1:8080`")
            })
        };
        self.value(name, parse).unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.value(name, |text: String| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
                let words: Vec<String> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
                Mistake::new(
                    "",
                    format!("is `{}`, which is not known here", shown(&text)),
                    format!("use {}", words.join(" or ")),
                )
            })
        })
    }
}
