//! The open loop: calls begin by a schedule, whether or not those before have ended.
//!
//! The callers share one schedule; whoever is free takes its next start. Where none is free the start is late, and the
//! latency is counted from the moment at which the call should have begun all the same: a server that stalls for a
//! second has kept every call of that second waiting, also those that nobody could send (others leave them out, and
//! call a stall one slow call).

use std::num::NonZeroU32;
use std::time::Duration;

use super::worker::Caller;
use crate::policy::Moment;

/// A timer wakes up to two of its ticks late. So much of a caller's sleep is the tool's, and not the server's.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Starts at even distances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    begin: Moment,
    per_second: NonZeroU32,
}

impl Schedule {
    pub(super) const fn new(begin: Moment, per_second: NonZeroU32) -> Self {
        Self { begin, per_second }
    }

    /// When the call with this number is to begin.
    pub(super) fn start(&self, number: u64) -> Moment {
        let nanos = u128::from(number) * NANOS_PER_SECOND / u128::from(self.per_second.get());
        self.begin.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many are to begin within `time`.
    pub(super) fn starts_within(&self, time: Duration) -> u64 {
        let starts = (time.as_nanos() * u128::from(self.per_second.get())).div_ceil(NANOS_PER_SECOND);
        u64::try_from(starts).unwrap_or(u64::MAX)
    }
}

/// From when the latency of a call counts that was to begin at `intended`, and whose caller was there at `ready`. One
/// that was there before has slept since, and is forgiven what its timer may be late.
fn counted_from(intended: Moment, ready: Moment, woken: Moment) -> Moment {
    if ready < intended { woken.min(intended.after(TIMER_GRAIN)).max(intended) } else { intended }
}

/// Makes one start of the schedule after the other, until the end.
pub(super) async fn run(mut caller: Caller, schedule: Schedule) {
    loop {
        let (intended, ready) = (schedule.start(caller.next_number()), caller.now());
        if caller.is_over(intended.max(ready)) {
            return;
        }
        if ready < intended && !caller.sleep_until(intended).await {
            return;
        }
        caller.count_start();
        caller.call(Some(counted_from(intended, ready, caller.now()))).await;
        tokio::task::consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Moment {
        Moment::from_nanos(us * 1_000)
    }

    #[test]
    fn starts_are_even_and_do_not_drift() {
        let schedule = Schedule::new(at(5), NonZeroU32::new(3).expect("it is not 0"));
        assert_eq!(schedule.start(0), at(5));
        assert_eq!(schedule.start(1), Moment::from_nanos(333_338_333));
        assert_eq!(schedule.start(3_000_000), at(1_000_000_000_005));
        assert_eq!([0, 1, 334, 1_000].map(|ms| schedule.starts_within(Duration::from_millis(ms))), [0, 1, 2, 3]);
    }

    #[test]
    fn a_stall_counts_from_when_the_call_should_have_begun() {
        let intended = at(10_000);
        assert_eq!(counted_from(intended, at(900_000), at(900_000)), intended, "nobody was free before");
        assert_eq!(counted_from(intended, intended, at(10_050)), intended);
    }

    #[test]
    fn a_timer_that_is_late_is_not_the_servers_fault() {
        let intended = at(10_000);
        assert_eq!(counted_from(intended, at(9_000), at(10_900)), at(10_900));
        assert_eq!(counted_from(intended, at(9_000), at(50_000)), at(12_000), "and no more is forgiven than that");
        assert_eq!(counted_from(intended, at(9_000), at(9_999)), intended);
    }
}
