//! A hold of nothing that expires before all others. Where the hold that would expire first is given back, the cluster
//! looks for the one that is first then, which takes it longer than the completion itself. Nobody gives this one back.
//! What holds for less than [`FORERUNNER_SECONDS`] is before it all the same.

use std::time::Duration;

use super::books::{Books, Trouble};
use super::counting::Counts;
use crate::policy::Moment;

/// How long one runs ahead.
const FORERUNNER_SECONDS: u32 = 10;

/// The next one is sent well before the last one ends.
const INTERVAL: Duration = Duration::from_secs(5);

/// When the next one is due.
#[derive(Debug, Default)]
pub(super) struct Forerunner {
    due: Moment,
    /// Leases that were granted and ended until the last one.
    leases: u64,
}

impl Forerunner {
    /// Whether one is to be sent now: never while no leases come and go.
    fn is_due(&mut self, leases: u64, now: Moment) -> bool {
        if now < self.due || leases == self.leases {
            return false;
        }
        *self = Self { due: now.after(INTERVAL), leases };
        true
    }
}

impl Books {
    /// Sends the next one, if it is due.
    pub(super) async fn run_ahead(&self) -> Result<(), Trouble> {
        let leases = Counts::read(&self.counts.granted) + Counts::read(&self.counts.completed);
        let is_due = {
            let mut forerunner = self.forerunner.lock().expect("nothing under this lock panics");
            forerunner.is_due(leases, self.clock.now())
        };
        if is_due {
            self.write_each(&[self.chart.forerunner(self.unix_ms(), FORERUNNER_SECONDS)]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_before_the_last_one_ends_but_only_where_leases_come_and_go() {
        assert!(2 * INTERVAL <= Duration::from_secs(FORERUNNER_SECONDS.into()));
        let mut forerunner = Forerunner::default();
        let mut is_due = |leases, second: u64| forerunner.is_due(leases, Moment::from_nanos(second * 1_000_000_000));
        assert!(!is_due(0, 1), "nothing has happened");
        assert!(is_due(1, 2));
        assert!(!is_due(2, 3), "one is under way");
        assert!(is_due(2, 7));
        assert!(!is_due(2, 100), "nothing has happened since");
        assert!(is_due(3, 100));
    }
}
