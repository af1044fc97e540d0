//! A line on the terminal that says how a load fares.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::report::per_second;
use super::tally::read;
use super::worker::Shared;

const EVERY: Duration = Duration::from_millis(500);
/// To the beginning of the line, and away with it.
const CLEAR: &str = "\r\x1b[K";

/// Shows it until it is dropped, on stderr.
pub(super) async fn show(shared: Arc<Shared>) {
    let _line = Line;
    let (mut before, mut counted_at) = (0, shared.begin);
    loop {
        sleep(EVERY).await;
        let now = shared.clock.now();
        let counts = [&shared.counts.allowed, &shared.counts.denied, &shared.counts.errors].map(read);
        let reserves = counts[0] + counts[1];
        let rate = per_second(reserves - before, now.since(counted_at));
        (before, counted_at) = (reserves, now);
        // It is for people only: where nobody can see it, the load goes on.
        let _ = write!(io::stderr(), "{CLEAR}{}", line(now.since(shared.begin), shared.plan.duration, rate, counts));
    }
}

fn line(passed: Duration, whole: Duration, rate: f64, [allowed, denied, errors]: [u64; 3]) -> String {
    let (passed, whole) = (passed.min(whole).as_secs_f64(), whole.as_secs_f64());
    format!("{passed:.0} of {whole:.0} s  {rate:.0} reserves/s  {allowed} allowed  {denied} denied  {errors} errors")
}

/// What is on the terminal. It goes with it.
struct Line;

impl Drop for Line {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "{CLEAR}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let shown = line(Duration::from_millis(1_600), Duration::from_secs(60), 1_234.5, [9, 8, 7]);
        assert_eq!(shown, "2 of 60 s  1234 reserves/s  9 allowed  8 denied  7 errors");
        assert!(line(Duration::from_secs(61), Duration::from_secs(60), 0.0, [0; 3]).starts_with("60 of 60 s"));
    }
}
