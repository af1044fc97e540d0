//! Which definitions the ledger has not taken. Pure: who tries again, and when, is not decided here.

use std::collections::{BTreeMap, HashMap};

use crate::policy::KeyPattern;

/// How a definition stands with the ledger, unless it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is to be put in force, or to be taken out if it is no longer saved.
    Due {
        /// Why that was not done yet.
        problem: String,
        /// Its place in the order of those that are due.
        turn: u64,
    },
    /// The ledger follows a newer one with this version, made elsewhere.
    Superseded(u64),
}

/// The definitions that the ledger has not taken, deleted ones that it may still follow among them.
#[derive(Debug, Default)]
pub(super) struct Standings {
    by_pattern: HashMap<KeyPattern, Standing>,
    /// Those that are due, the one that was tried longest ago first.
    due: BTreeMap<u64, KeyPattern>,
    next_turn: u64,
}

impl Standings {
    /// The ledger is up to date with it.
    pub(super) fn settled(&mut self, pattern: &KeyPattern) {
        if let Some(Standing::Due { turn, .. }) = self.by_pattern.remove(pattern) {
            self.due.remove(&turn);
        }
    }

    /// The ledger follows another one.
    pub(super) fn superseded(&mut self, pattern: &KeyPattern, version: u64) {
        self.settled(pattern);
        self.by_pattern.insert(pattern.clone(), Standing::Superseded(version));
    }

    /// It is to be tried again, after all others that are.
    pub(super) fn defer(&mut self, pattern: &KeyPattern, problem: String) {
        self.settled(pattern);
        let turn = self.next_turn;
        self.next_turn += 1;
        self.due.insert(turn, pattern.clone());
        self.by_pattern.insert(pattern.clone(), Standing::Due { problem, turn });
    }

    pub(super) fn get(&self, pattern: &KeyPattern) -> Option<&Standing> {
        self.by_pattern.get(pattern)
    }

    /// Those that are due, in their order.
    pub(super) fn due(&self) -> impl ExactSizeIterator<Item = &KeyPattern> {
        self.due.values()
    }

    /// How many are superseded.
    pub(super) fn superseded_len(&self) -> usize {
        self.by_pattern.len() - self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_failed_again_are_tried_last() {
        let [a, b, c] = ["a", "b", "c"].map(|key| KeyPattern::parse(key).expect("a good key"));
        let mut standings = Standings::default();
        for pattern in [&a, &b, &c] {
            standings.defer(pattern, "away".to_owned());
        }
        standings.defer(&a, "still away".to_owned());
        assert_eq!(standings.due().collect::<Vec<_>>(), [&b, &c, &a]);
        standings.settled(&c);
        standings.superseded(&b, 7);
        assert_eq!((standings.due().collect::<Vec<_>>(), standings.superseded_len()), (vec![&a], 1));
        assert_eq!(standings.get(&b), Some(&Standing::Superseded(7)));
        assert_eq!(standings.get(&a), Some(&Standing::Due { problem: "still away".to_owned(), turn: 3 }));
        standings.settled(&b);
        assert_eq!((standings.get(&b), standings.superseded_len()), (None, 0));
    }
}
