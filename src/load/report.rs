//! What a load has shown, for people and for scripts.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::audit::Audit;
use super::errors::ErrorKind;

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Where the limits are: `http` or `local`.
    pub(crate) mode: &'static str,
    /// Where the books are kept.
    pub(crate) backend: String,
    pub(crate) seconds: f64,
    /// Whether it was ended before its time.
    pub(crate) is_cut_short: bool,
    pub(crate) concurrency: usize,
    pub(crate) providers: usize,
    pub(crate) batch_size: usize,
    /// Starts of the schedule, in an open loop.
    pub(crate) schedule: Option<Starts>,
    /// Reservations that were answered.
    pub(crate) reserves: u64,
    pub(crate) reserves_per_second: f64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    /// The most frequent first.
    pub(crate) errors: Vec<ErrorKind>,
    /// How many answers of the server had a status of 500 and above, if it tells.
    pub(crate) http_5xx: Option<u64>,
    pub(crate) reserve: Latency,
    pub(crate) complete: Latency,
    /// How late this process was woken by timers of its own.
    pub(crate) own_timer: Latency,
    pub(crate) batches: Batches,
    /// If it was asked for.
    pub(crate) verify: Option<Audit>,
}

/// What became of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Starts {
    pub(crate) per_second: u32,
    pub(crate) made: u64,
    /// Due within the time, and not made: all callers were busy.
    pub(crate) missed: u64,
}

/// Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// How many requests went together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Batches {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) max: u64,
}

impl Latency {
    pub(super) fn of(nanos: &Histogram<u64>) -> Self {
        let us = |nanos: u64| nanos as f64 / 1_000.0;
        let at = |quantile| us(nanos.value_at_quantile(quantile));
        let (count, max_us) = (nanos.len(), us(nanos.max()));
        Self { count, p50_us: at(0.5), p95_us: at(0.95), p99_us: at(0.99), p999_us: at(0.999), max_us }
    }

    fn row(&self, name: &str) -> String {
        let [p50, p95, p99, p999, max] = [self.p50_us, self.p95_us, self.p99_us, self.p999_us, self.max_us].map(shown);
        format!("{name:<10}{p50:>10}{p95:>10}{p99:>10}{p999:>10}{max:>10}{:>12}\n", self.count)
    }
}

impl Batches {
    pub(super) fn of(sizes: &Histogram<u64>) -> Self {
        let at = |quantile| sizes.value_at_quantile(quantile);
        Self { count: sizes.len(), mean: sizes.mean(), p50: at(0.5), p95: at(0.95), max: sizes.max() }
    }
}

impl Report {
    /// Whether what was to be checked was found right.
    pub(crate) fn is_passed(&self) -> bool {
        self.verify.as_ref().is_none_or(Audit::is_passed)
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<17}{value}").expect("a string takes all that is written");
        };
        let cut_short = if self.is_cut_short { ", ended early" } else { "" };
        line(
            "load",
            format!(
                "{} to {}, {} callers, {} providers, {:.1} s{cut_short}",
                self.mode, self.backend, self.concurrency, self.providers, self.seconds
            ),
        );
        if let Some(Starts { per_second, made, missed }) = self.schedule {
            line("schedule", format!("{per_second} starts/s, {made} made, {missed} missed"));
        }
        line("throughput", format!("{:.1} reserves/s", self.reserves_per_second));
        let errors: u64 = self.errors.iter().map(|kind| kind.count).sum();
        line("answers", format!("{} allowed, {} denied, {errors} errors", self.allowed, self.denied));
        self.errors.iter().for_each(|kind| line("", kind.line()));
        if let Some(count) = self.http_5xx {
            line("HTTP 5xx", count.to_string());
        }
        let Batches { count, mean, p50, p95, max } = self.batches;
        line("batches", format!("{count} sent, of {mean:.1} on average, p50 {p50}, p95 {p95}, max {max}"));
        let names = ["p50", "p95", "p99", "p99.9", "max"].map(|name| format!("{name:>10}")).concat();
        let rows = [("reserve", self.reserve), ("complete", self.complete), ("own timer", self.own_timer)];
        let latencies = rows.map(|(name, latency)| latency.row(name)).concat();
        text.push_str(&format!("\n{:<10}{names}{:>12}\n{latencies}", "LATENCY", "COUNT"));
        if let Some(audit) = &self.verify {
            text.push_str(&audit_text(audit));
        }
        text
    }
}

fn audit_text(audit: &Audit) -> String {
    let Audit { over_admissions, reserves_checked, limits_checked, .. } = audit;
    let mut text =
        format!("\nover-admissions  {over_admissions}, of {reserves_checked} grants over {limits_checked} limits\n");
    if let Some(worst) = &audit.worst {
        let (key, taken, capacity) = (&worst.key, worst.taken, worst.capacity);
        text.push_str(&format!(
            "worst            {taken} of {capacity} taken of {key}, {} ms after the begin\n",
            worst.at_ms
        ));
    }
    if audit.reserves_unrecorded != 0 {
        text.push_str(&format!(
            "not checked      {} grants: the history was full; use a larger `--history`\n",
            audit.reserves_unrecorded
        ));
    }
    if audit.limits_checked == 0 {
        text.push_str("not checked      anything: nothing was granted of a limit that can be checked\n");
    }
    for (pattern, why) in &audit.not_checked {
        text.push_str(&format!("not checked      {pattern}: {why}\n"));
    }
    text
}

/// Microseconds, in the unit in which they are read best.
fn shown(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.1} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1_000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

/// So many in a time.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
