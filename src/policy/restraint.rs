//! What a provider says beyond a limit's own books: stop until then, or less is left than the books say. It only ever
//! tightens, and ends by itself.

use super::hold_log::FreeAt;
use super::moment::Moment;

/// What a provider asks of a limit, until a moment. One that has passed asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restraint {
    /// Admit nothing. A pause is prolonged by a later end, and never shortened.
    Pause {
        /// When the limit admits again.
        until: Moment,
    },
    /// Only so much is left. What the books have free above that is withheld; a limit with no more than that is left
    /// as it is. Of several such reports the one that withholds most counts, each until its own end. Means nothing to
    /// a concurrency limit, whose holds only the callers know.
    Tighten {
        /// What the provider has left, in the limit's unit.
        remaining: u64,
        /// When the provider counts anew: all that is withheld is free again.
        until: Moment,
    },
}

impl Restraint {
    /// When it ends.
    #[must_use]
    pub const fn until(self) -> Moment {
        match self {
            Self::Pause { until } | Self::Tighten { until, .. } => until,
        }
    }
}

/// The restraints that one limit is under. Few limits ever are, and of a million each byte counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restraints(Option<Box<InForce>>);

/// The most reports that are told apart: providers count by the second, the minute, the hour and the day.
const REPORTS_MAX: usize = 8;

/// A moment that is not later than now ends what it belongs to.
#[derive(Clone, Debug, Default)]
struct InForce {
    paused_until: Moment,
    /// In the order of their ends; each withholds more than all that end later.
    reports: Vec<Report>,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    withheld: u64,
    until: Moment,
}

impl Restraints {
    /// Whether there are none; call [`Self::expire`] first, as for all that follows.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops what has ended.
    pub(crate) fn expire(&mut self, now: Moment) {
        let Some(in_force) = &mut self.0 else { return };
        in_force.reports.retain(|report| now < report.until);
        if in_force.paused_until <= now && in_force.reports.is_empty() {
            self.0 = None;
        }
    }

    /// Admits nothing until then, which is later than now.
    pub(crate) fn pause(&mut self, until: Moment) {
        let in_force = self.0.get_or_insert_default();
        in_force.paused_until = in_force.paused_until.max(until);
    }

    /// Keeps back so much at least, until then, which is later than now.
    pub(crate) fn withhold(&mut self, withheld: u64, until: Moment) {
        self.0.get_or_insert_default().withhold(Report { withheld, until });
    }

    /// When the pause ends; `None` if there is none.
    pub(crate) fn paused_until(&self, now: Moment) -> Option<Moment> {
        self.0.as_ref().map(|in_force| in_force.paused_until).filter(|until| now < *until)
    }

    /// What is kept back.
    pub(crate) fn withheld(&self) -> u64 {
        self.0.as_ref().and_then(|in_force| in_force.reports.first()).map_or(0, |report| report.withheld)
    }

    /// When `amount` fits: once what is free covers also what is withheld, or once nothing is withheld any more. Not
    /// before the end of the pause. `when_free` says when an amount is free, pauses and withholding apart.
    pub(super) fn when_available(
        &self,
        amount: u64,
        capacity: u64,
        mut when_free: impl FnMut(u64) -> FreeAt,
    ) -> FreeAt {
        let mut free = when_free(amount);
        let Some(in_force) = &self.0 else { return free };
        if amount != 0 && !in_force.reports.is_empty() {
            free = in_force.when_covered(amount, capacity, free, when_free);
        }
        let not_before = in_force.paused_until;
        FreeAt { expected: free.expected.max(not_before), earliest: free.earliest.max(not_before) }
    }
}

impl InForce {
    fn withhold(&mut self, new: Report) {
        let reports = &mut self.reports;
        let covers = |one: &Report, other: &Report| other.withheld <= one.withheld && other.until <= one.until;
        if reports.iter().any(|report| covers(report, &new)) {
            return;
        }
        reports.retain(|report| !covers(&new, report));
        reports.insert(reports.partition_point(|report| report.until < new.until), new);
        if REPORTS_MAX < reports.len() {
            // The two that are most alike become one that covers both.
            let alike = |at: &usize| reports[*at].withheld - reports[*at + 1].withheld;
            let at = (0..reports.len() - 1).min_by_key(alike).expect("there are several");
            reports[at + 1].withheld = reports[at].withheld;
            reports.remove(at);
        }
        assert!(reports.len() <= REPORTS_MAX, "it keeps to its bound");
        assert!(reports.is_sorted_by(|one, later| one.until < later.until && later.withheld < one.withheld));
    }

    /// `free` is when the amount would fit if nothing were withheld. Time only frees, so that by each end either enough
    /// is free to cover what is withheld after it too, or a later one is to be waited for.
    fn when_covered(
        &self,
        amount: u64,
        capacity: u64,
        free: FreeAt,
        mut when_free: impl FnMut(u64) -> FreeAt,
    ) -> FreeAt {
        let last = self.reports.last().expect("something is withheld").until;
        let mut covered = FreeAt { expected: free.expected.max(last), earliest: free.earliest.max(last) };
        let mut from = Moment::START;
        for report in &self.reports {
            if let Some(claim) = amount.checked_add(report.withheld).filter(|claim| *claim <= capacity) {
                let claimed = when_free(claim);
                covered.expected = covered.expected.min(claimed.expected.max(from));
                covered.earliest = covered.earliest.min(claimed.earliest.max(from));
            }
            from = report.until;
        }
        covered
    }
}

#[cfg(test)]
#[path = "restraint_tests.rs"]
mod tests;
