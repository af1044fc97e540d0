//! What the benchmarks share: sides measured in turn, medians over many short rounds, and the table they are told in.
//! Only the ratio of two sides of one run says something: on a machine with other work both are slower.

#![allow(dead_code, reason = "each benchmark uses its part")]
#![expect(clippy::disallowed_types, reason = "benchmarks measure real time")]

pub(crate) mod proc;

use std::time::Duration;
pub(crate) use std::time::Instant;

use tollgate::policy::{Definition, DefinitionFields};

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// A smoke test: few rounds, figures that mean nothing.
    pub(crate) quick: bool,
    json: bool,
}

impl Options {
    /// Reads the command line; what cargo adds to it is ignored.
    pub(crate) fn read() -> Self {
        let has = |name: &str| std::env::args().any(|argument| argument == name);
        Self { quick: has("--quick"), json: has("--json") }
    }

    /// `full`, or in a smoke test `quick`.
    pub(crate) fn or_quick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    /// What both figures are in.
    pub(crate) unit: &'a str,
    pub(crate) ours: f64,
    /// The other side, and what it is called.
    pub(crate) comparator: Option<(&'a str, f64)>,
    /// In words; empty for a figure that only explains others.
    pub(crate) wanted: &'a str,
}

/// Prints the heading of a table.
pub(crate) fn heading(options: Options, title: &str) {
    if !options.json {
        println!("\n{title}\n\n| name | ours | comparator | ratio | wanted |\n|---|---|---|---|---|");
    }
}

impl Row<'_> {
    /// Prints it, as a line of the table or of JSON.
    pub(crate) fn print(self, options: Options) {
        let Self { name, unit, ours, comparator, wanted } = self;
        let ratio = comparator.map(|(_, theirs)| ours / theirs);
        if options.json {
            let (comparator, theirs) = comparator.unzip();
            let line = serde_json::json!({
                "name": name, "unit": unit, "ours": ours, "comparator": comparator, "theirs": theirs,
                "ratio": ratio, "wanted": wanted,
            });
            println!("{line}");
            return;
        }
        let theirs = comparator.map_or_else(String::new, |(side, theirs)| format!("{side}: {} {unit}", figure(theirs)));
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        println!("| {name} | {} {unit} | {theirs} | {ratio} | {wanted} |", figure(ours));
    }
}

/// Three digits, or all of a whole number.
fn figure(value: f64) -> String {
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$}")
}

/// Runs `measure` and says how long it took.
pub(crate) fn timed<T>(measure: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = measure();
    (start.elapsed(), result)
}

/// A point in time, for what cannot be measured as one call.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The medians of each side, after `rounds` that each measure all of them.
pub(crate) fn medians<const SIDES: usize>(rounds: usize, mut round: impl FnMut() -> [f64; SIDES]) -> [f64; SIDES] {
    let measured: Vec<_> = (0..rounds).map(|_| round()).collect();
    std::array::from_fn(|side| quantile(measured.iter().map(|round| round[side]).collect(), 0.5))
}

/// The value below which `part` of the values lie.
pub(crate) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// A definition, of a pattern that is known to be good.
pub(crate) fn definition(fields: DefinitionFields) -> Definition {
    fields.check().expect("a good definition")
}

/// A sliding window over `window_seconds`.
pub(crate) fn rolling(key: &str, capacity: u64, window_seconds: u64) -> Definition {
    let kind = "rolling".to_owned();
    let window_seconds = Some(window_seconds);
    definition(DefinitionFields { key: key.to_owned(), kind, capacity, window_seconds, ..DefinitionFields::default() })
}

/// How long one of those that are held at once lasts at most.
pub(crate) const CONCURRENCY_TIMEOUT_SECONDS: u32 = 600;

/// So many at once.
pub(crate) fn concurrency(key: &str, capacity: u64) -> Definition {
    let kind = "concurrency".to_owned();
    let timeout_seconds = Some(CONCURRENCY_TIMEOUT_SECONDS.into());
    definition(DefinitionFields { key: key.to_owned(), kind, capacity, timeout_seconds, ..DefinitionFields::default() })
}

/// A bucket that fills in a second.
pub(crate) fn token_bucket(key: &str, capacity: u64) -> Definition {
    let (kind, refill) = ("token_bucket".to_owned(), Some(capacity));
    definition(DefinitionFields {
        key: key.to_owned(),
        kind,
        capacity,
        refill_amount: refill,
        refill_seconds: Some(1),
        ..DefinitionFields::default()
    })
}
