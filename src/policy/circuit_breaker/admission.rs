//! What a call that was let through holds.

use super::probes::ProbeId;

/// A call was let through, and owes its outcome. Can be neither copied nor reported twice. Losing one is harmless: the
/// slot of a probe frees by itself.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an admitted call owes its outcome"]
pub struct Admission {
    pub(super) generation: u64,
    pub(super) probe: Option<ProbeId>,
}

impl Admission {
    /// Of a call that is no probe, in a generation that
    /// [`CircuitBreaker::clear_generation`](super::CircuitBreaker::clear_generation) told.
    pub fn of_generation(generation: u64) -> Self {
        Self { generation, probe: None }
    }

    /// The generation it was made in.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it holds one of the few slots of a half-open breaker.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}
