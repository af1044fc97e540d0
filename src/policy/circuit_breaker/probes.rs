//! The probes that are out while a breaker is half open. Each holds its slot until it reports or its time is over, so
//! that one that vanishes keeps nobody out for ever.

use crate::policy::moment::Moment;

/// Names one probe of one breaker; never used again.
pub(super) type ProbeId = u64;

/// The slots of a half-open breaker, in the order in which they expire.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbeSlots {
    taken: std::collections::VecDeque<(ProbeId, Moment)>,
}

impl ProbeSlots {
    /// Takes a slot until `expires_at`, which is not before that of earlier probes.
    pub(super) fn take(&mut self, probe: ProbeId, expires_at: Moment) {
        assert!(self.taken.back().is_none_or(|(_, last)| *last <= expires_at), "probes expire in their order");
        self.taken.push_back((probe, expires_at));
    }

    /// Gives a slot back, if the probe still has it.
    pub(super) fn give_back(&mut self, probe: ProbeId) {
        self.taken.retain(|(taken, _)| *taken != probe);
    }

    /// Frees the slots whose time is over.
    pub(super) fn expire(&mut self, now: Moment) {
        while self.taken.front().is_some_and(|(_, expires_at)| *expires_at <= now) {
            self.taken.pop_front();
        }
    }

    /// How many probes are out at `now`.
    pub(super) fn out(&self, now: Moment) -> usize {
        self.taken.iter().filter(|(_, expires_at)| now < *expires_at).count()
    }

    /// When the next slot after `now` frees by itself.
    pub(super) fn next_expiry(&self, now: Moment) -> Option<Moment> {
        self.taken.iter().map(|(_, expires_at)| *expires_at).find(|expires_at| now < *expires_at)
    }
}
