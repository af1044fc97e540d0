//! How much a schedule takes, and what it answers to more.

use super::job::Upstream;
use crate::policy::lease::Label;
use crate::policy::mistake::{InvalidRequest, Mistake};

/// How many jobs a schedule takes, and how many of them may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleBounds {
    /// The most jobs that have not ended, in all queues.
    pub jobs_max: usize,
    /// The most of them for one model of one provider.
    pub jobs_per_queue_max: usize,
    /// The most jobs under way at once: those that are being reserved for, and those that run.
    pub running_max: usize,
    /// The most of them for one model of one provider. Below `running_max`, so that a provider that hangs does not stop
    /// the others.
    pub running_per_queue_max: usize,
    /// The most reservations under way at once for one model of one provider. It begins with one, doubles with every
    /// grant, and is one again after a refusal.
    pub reserving_per_queue_max: usize,
}

impl Default for ScheduleBounds {
    fn default() -> Self {
        Self {
            jobs_max: 100_000,
            jobs_per_queue_max: 20_000,
            running_max: 1_024,
            running_per_queue_max: 256,
            reserving_per_queue_max: 16,
        }
    }
}

impl ScheduleBounds {
    /// The most jobs of any schedule, so that 32 bits name each.
    const JOBS_MAX: usize = 100_000_000;

    /// Checks that every bound lets something through.
    ///
    /// # Errors
    /// Every bound that does not.
    pub fn check(&self) -> Result<(), InvalidRequest> {
        let bounds = [
            ("jobs_max", self.jobs_max),
            ("jobs_per_queue_max", self.jobs_per_queue_max),
            ("running_max", self.running_max),
            ("running_per_queue_max", self.running_per_queue_max),
            ("reserving_per_queue_max", self.reserving_per_queue_max),
        ];
        let is_good = |bound: usize| (1..=Self::JOBS_MAX).contains(&bound);
        let mistake = |(field, bound): (&str, usize)| {
            Mistake::new(field, format!("is {bound}"), format!("use 1 to {}", Self::JOBS_MAX))
        };
        let mistakes: Vec<_> = bounds.into_iter().filter(|(_, bound)| !is_good(*bound)).map(mistake).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(InvalidRequest(mistakes)) }
    }
}

/// Why a job was not taken in. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleFull {
    /// There are as many jobs as there may be.
    #[error(
        "the scheduler holds {jobs_max} jobs, all that it may; submit again when some have ended, or raise `jobs_max`"
    )]
    Full {
        /// The bound.
        jobs_max: usize,
    },
    /// There are as many jobs for this model as there may be.
    #[error(
        "the queue of `{upstream}` holds {jobs_per_queue_max} jobs, all that it may; submit again when some have \
        ended, or raise `jobs_per_queue_max`"
    )]
    QueueFull {
        /// Which model of which provider.
        upstream: Upstream,
        /// The bound.
        jobs_per_queue_max: usize,
    },
    /// A job with this id has not ended.
    #[error("`id` is `{}`, and a job with this id has not ended; give each job an id of its own", .0.as_str())]
    DuplicateId(Label),
    /// No more jobs are taken.
    #[error("the scheduler is shutting down and takes no more jobs; submit to another one")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_of_nothing_is_a_mistake() {
        let bounds = ScheduleBounds { jobs_max: 0, running_max: usize::MAX, ..ScheduleBounds::default() };
        let told = bounds.check().expect_err("two mistakes").to_string();
        let expected =
            format!("`jobs_max` is 0; use 1 to 100000000 | `running_max` is {}; use 1 to 100000000", usize::MAX);
        assert_eq!(told, expected);
        assert_eq!(ScheduleBounds::default().check(), Ok(()));
    }

    #[test]
    fn who_is_not_taken_in_is_told_why_and_what_to_do() {
        let upstream = Upstream::parse("openai", "gpt-4o").expect("good names");
        let id = Label::parse("job-1").expect("a good label");
        for (full, told) in [
            (
                ScheduleFull::Full { jobs_max: 2 },
                "the scheduler holds 2 jobs, all that it may; submit again when some have ended, or raise `jobs_max`",
            ),
            (
                ScheduleFull::QueueFull { upstream, jobs_per_queue_max: 1 },
                "the queue of `openai/gpt-4o` holds 1 jobs, all that it may; submit again when some have ended, or \
                raise `jobs_per_queue_max`",
            ),
            (
                ScheduleFull::DuplicateId(id),
                "`id` is `job-1`, and a job with this id has not ended; give each job an id of its own",
            ),
            (ScheduleFull::Closed, "the scheduler is shutting down and takes no more jobs; submit to another one"),
        ] {
            assert_eq!(full.to_string(), told);
        }
    }
}
