//! What has to be written to the log of a limit so that a definition is in force. Pure.

use std::num::NonZeroU64;

use super::definition_log::{Found, Manner, Origin};
use crate::policy::Kind;

/// What an entry is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    pub(super) manner: Manner,
    pub(super) capacity: NonZeroU64,
    pub(super) version: u64,
}

/// Which of two definitions holds: that of the last entry, or the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precedence {
    /// The newer one: they are versions of one definition.
    Newer,
    /// The last entry's, which is of another definition.
    Found,
    /// The one that is wanted, which is of another definition.
    Wanted,
}

/// What has to be written so that a definition is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// The ledger has one that holds instead.
    Superseded { version: u64 },
    /// A limit that knows nothing of what was there before.
    Begin { seq: u32 },
    /// Another rule, or a raised capacity, at once.
    Change { seq: u32, raise: u64 },
    /// A lower capacity, once so much is free.
    Lower { seq: u32, by: u64 },
}

impl Wanted {
    /// Whether the last version that was deleted is this one or a newer one. What a template says of its instances
    /// holds where a limit of its own was deleted.
    pub(super) fn is_deleted(&self, deleted_version: Option<u64>) -> bool {
        self.origin == Origin::Own && deleted_version.is_some_and(|deleted| self.version <= deleted)
    }

    /// What has to be written after what was found. Of two with one version the first stays.
    pub(super) fn next_step(&self, found: &Found, precedence: Precedence) -> Step {
        let Self { kind, manner, capacity, version, .. } = *self;
        let standing = match found {
            Found::Limit(standing) => standing,
            Found::Nothing { deleted_version: Some(deleted), .. } if self.is_deleted(Some(*deleted)) => {
                return Step::Superseded { version: *deleted };
            }
            Found::Nothing { seq, .. } => return Step::Begin { seq: seq + 1 },
            Found::Garbled => unreachable!("nothing is written to a log that is not understood"),
        };
        let is_same = (standing.kind, standing.manner, standing.wanted) == (kind, manner, capacity);
        let holds = match precedence {
            Precedence::Newer if is_same && version == standing.version => return Step::Keep,
            Precedence::Newer => standing.version < version,
            Precedence::Found => false,
            Precedence::Wanted => true,
        };
        if !holds {
            return Step::Superseded { version: standing.version };
        }
        let seq = standing.seq + 1;
        if standing.kind.name() != kind.name() {
            return Step::Begin { seq };
        }
        let (wanted, capacity) = (capacity.get(), standing.capacity.get());
        if wanted < capacity {
            Step::Lower { seq, by: capacity - wanted }
        } else {
            Step::Change { seq, raise: wanted - capacity }
        }
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
