//! How a load is made, checked.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::policy::Mistake;

const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How a load is made, as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanFields {
    pub(crate) duration: Duration,
    pub(crate) concurrency: u64,
    pub(crate) rate: Option<u64>,
    pub(crate) think_ms: u64,
    pub(crate) batch_size: u64,
    /// 0 where nothing is checked.
    pub(crate) history: u64,
}

/// How a load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How long calls are begun.
    pub(super) duration: Duration,
    /// How many callers there are; each makes one call after the other.
    pub(super) concurrency: usize,
    pub(super) pace: Pace,
    /// How long a call that was granted runs, and how long a caller stays away after a denial.
    pub(super) think: Duration,
    /// The most requests that travel together.
    pub(super) batch_size: usize,
    /// The most grants that are remembered.
    pub(super) records_max: usize,
}

/// When calls begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// When the call before has ended.
    Closed,
    /// By a schedule, whether or not those before have ended.
    Open { per_second: NonZeroU32 },
}

impl PlanFields {
    /// Makes a plan of the fields.
    ///
    /// # Errors
    /// Every mistake in them, under the names of the flags.
    pub(crate) fn check(self) -> Result<Plan, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        if self.duration.is_zero() || DURATION_MAX < self.duration {
            let problem = format!("is {} ms", self.duration.as_millis());
            mistakes.push(Mistake::new("--duration", problem, "use 1 ms to 7 days, for example `60s`"));
        }
        let mut checked = |flag: &str, value: u64, range: RangeInclusive<u64>| {
            if !range.contains(&value) {
                let hint = format!("use {} to {}", range.start(), range.end());
                mistakes.push(Mistake::new(flag, format!("is {value}"), hint));
            }
            usize::try_from(value).unwrap_or(usize::MAX)
        };
        let concurrency = checked("--concurrency", self.concurrency, 1..=10_000);
        let batch_size = checked("--batch-size", self.batch_size, 1..=256);
        let records_max = checked("--history", self.history, 0..=100_000_000);
        checked("--think-ms", self.think_ms, 0..=3_600_000);
        if let Some(rate) = self.rate {
            checked("--rate", rate, 1..=1_000_000);
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let per_second = self.rate.and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?));
        let pace = per_second.map_or(Pace::Closed, |per_second| Pace::Open { per_second });
        let think = Duration::from_millis(self.think_ms);
        Ok(Plan { duration: self.duration, concurrency, pace, think, batch_size, records_max })
    }
}

impl Plan {
    /// The most requests that travel together; 1 if each travels on its own.
    pub(crate) const fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// How many callers there are.
    pub(crate) const fn concurrency(&self) -> usize {
        self.concurrency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: PlanFields = PlanFields {
        duration: Duration::from_secs(60),
        concurrency: 200,
        rate: None,
        think_ms: 5,
        batch_size: 1,
        history: 1_000,
    };

    #[test]
    fn a_rate_makes_the_loop_an_open_one() {
        let plan = FIELDS.check().expect("a good plan");
        assert_eq!((plan.pace, plan.think, plan.concurrency()), (Pace::Closed, Duration::from_millis(5), 200));
        let plan = PlanFields { rate: Some(7), ..FIELDS }.check().expect("a good plan");
        assert_eq!(plan.pace, Pace::Open { per_second: NonZeroU32::new(7).expect("it is not 0") });
    }

    #[test]
    fn every_mistake_is_told_with_its_flag() {
        let duration = Duration::ZERO;
        let wrong =
            PlanFields { duration, concurrency: 0, rate: Some(0), think_ms: 4_000_000, batch_size: 257, ..FIELDS };
        let told: Vec<_> = wrong.check().expect_err("mistakes").iter().map(Mistake::to_string).collect();
        assert_eq!(
            told,
            [
                "`--duration` is 0 ms; use 1 ms to 7 days, for example `60s`",
                "`--concurrency` is 0; use 1 to 10000",
                "`--batch-size` is 257; use 1 to 256",
                "`--think-ms` is 4000000; use 0 to 3600000",
                "`--rate` is 0; use 1 to 1000000",
            ]
        );
        let told = PlanFields { history: 100_000_001, ..FIELDS }.check().expect_err("a mistake");
        assert_eq!(told[0].to_string(), "`--history` is 100000001; use 0 to 100000000");
    }
}
