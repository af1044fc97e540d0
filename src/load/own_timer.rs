//! How late this process is woken by timers of its own. Where that is much, the machine had no time for it, and part of
//! what it measured, time-outs too, is not the server's doing.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::tally::{latencies, nanos};
use crate::clock::Clock;

const EVERY: Duration = Duration::from_millis(10);

/// Sets one timer after the other until the load is stopped, and says how late each was.
pub(super) async fn lateness(clock: Clock, mut stop: watch::Receiver<bool>) -> Histogram<u64> {
    let mut late = latencies();
    loop {
        let due = clock.now().after(EVERY);
        tokio::select! {
            () = sleep_until(clock.instant_of(due)) => late.saturating_record(nanos(clock.now().since(due))),
            _ = stop.wait_for(|stop| *stop) => return late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_was_kept_busy_is_seen() {
        let (tell_stop, stop) = watch::channel(false);
        let lateness = tokio::spawn(lateness(Clock::start(), stop));
        // The only thread of this runtime: its timer is due after 10 ms, and nobody is there to see to it.
        tokio::time::sleep(Duration::from_millis(1)).await;
        std::thread::sleep(Duration::from_millis(60));
        // Not due together with its next timer, also where the machine is late.
        tokio::time::sleep(Duration::from_millis(500)).await;
        tell_stop.send_replace(true);
        let late = lateness.await.expect("it ends");
        assert!(nanos(Duration::from_millis(40)) < late.max(), "{} ns", late.max());
        assert!(1 < late.len(), "it goes on");
    }
}
