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
    /// as it is. Means nothing to a concurrency limit, whose holds only the callers know.
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
pub(super) struct Restraints(Option<Box<InForce>>);

/// A moment that is not later than now ends what it belongs to.
#[derive(Clone, Debug, Default)]
struct InForce {
    paused_until: Moment,
    withheld: u64,
    withheld_until: Moment,
}

impl Restraints {
    /// Whether there are none; call [`Self::expire`] first, as for all that follows.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops what has ended.
    pub(super) fn expire(&mut self, now: Moment) {
        let Some(in_force) = &mut self.0 else { return };
        if in_force.withheld_until <= now {
            in_force.withheld = 0;
        }
        if in_force.paused_until.max(in_force.withheld_until) <= now {
            self.0 = None;
        }
    }

    /// Admits nothing until then, which is later than now.
    pub(super) fn pause(&mut self, until: Moment) {
        let in_force = self.0.get_or_insert_default();
        in_force.paused_until = in_force.paused_until.max(until);
    }

    /// Keeps back as much more, all of it until then, which is later than now.
    pub(super) fn withhold(&mut self, additional: u64, until: Moment) {
        let in_force = self.0.get_or_insert_default();
        in_force.withheld = in_force.withheld.saturating_add(additional);
        in_force.withheld_until = in_force.withheld_until.max(until);
    }

    /// When the pause ends; `None` if there is none.
    pub(super) fn paused_until(&self, now: Moment) -> Option<Moment> {
        self.0.as_ref().map(|in_force| in_force.paused_until).filter(|until| now < *until)
    }

    /// What is kept back.
    pub(super) fn withheld(&self) -> u64 {
        self.0.as_ref().map_or(0, |in_force| in_force.withheld)
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
        if amount != 0 && in_force.withheld != 0 {
            let claim = amount.checked_add(in_force.withheld).filter(|claim| *claim <= capacity);
            let covered = claim.map(when_free);
            // Time only frees, so that each of the two ways has its first moment.
            let first = |at: fn(&FreeAt) -> Moment| {
                let released = at(&free).max(in_force.withheld_until);
                covered.as_ref().map_or(released, |covered| at(covered).min(released))
            };
            free = FreeAt { expected: first(|free| free.expected), earliest: first(|free| free.earliest) };
        }
        let not_before = in_force.paused_until;
        FreeAt { expected: free.expected.max(not_before), earliest: free.earliest.max(not_before) }
    }
}

#[cfg(test)]
#[path = "restraint_tests.rs"]
mod tests;
