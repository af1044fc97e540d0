//! What is held of one limit, in the order in which it expires.

use std::collections::VecDeque;

use super::moment::Moment;

/// Below this many entries the log is not worth compacting.
const COMPACT_ENTRIES_MIN: usize = 32;

/// Names one entry of a [`HoldLog`]. Packed because a busy ledger keeps millions: with it an entry of the log, and a hold
/// of a lease, take 24 bytes and not 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
pub struct HoldId {
    expires_at: Moment,
    /// Tells apart what expires in the same nanosecond, so that it may wrap around.
    sequence: u32,
}

impl HoldId {
    /// A hold that is in no log and just ends.
    #[must_use]
    pub const fn ending(expires_at: Moment) -> Self {
        Self { expires_at, sequence: 0 }
    }

    /// When the hold ends by itself.
    #[must_use]
    pub const fn expires_at(self) -> Moment {
        self.expires_at
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: HoldId,
    amount: u64,
    /// A settled entry is what a finished lease really used: it can no longer be reduced.
    settled: bool,
}

/// When an amount will be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeAt {
    /// If no lease completes before: exact.
    pub expected: Moment,
    /// However many leases complete: no earlier than this.
    pub earliest: Moment,
}

/// A log of holds ordered by expiry. Appending, expiring and finding are cheap because the period of a limit is
/// constant, so that nearly every hold expires after all the others; one that does not is put in its place.
#[derive(Clone, Debug, Default)]
pub struct HoldLog {
    entries: VecDeque<Entry>,
    next_sequence: u32,
    held: u128,
    unsettled: u128,
    /// Entries whose amount is 0, kept until they reach an end or the log is compacted.
    empty: usize,
}

impl HoldLog {
    /// The sum of all that is held.
    #[must_use]
    pub const fn held(&self) -> u128 {
        self.held
    }

    /// Adds a hold.
    pub fn insert(&mut self, expires_at: Moment, amount: u64, settled: bool) -> HoldId {
        let id = HoldId { expires_at, sequence: self.next_sequence };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(1); // Most of a million tenants hold one thing at a time.
        }
        let entry = Entry { id, amount, settled };
        self.held += u128::from(amount);
        self.unsettled += if settled { 0 } else { u128::from(amount) };
        self.empty += usize::from(amount == 0);
        if self.entries.back().is_none_or(|last| last.id < id) {
            self.entries.push_back(entry);
        } else {
            let place = self.entries.partition_point(|other| other.id < id);
            self.entries.insert(place, entry);
        }
        id
    }

    /// Drops what has expired.
    pub fn expire(&mut self, now: Moment) {
        while let Some(first) = self.entries.front() {
            if first.amount != 0 && now < first.id.expires_at() {
                break;
            }
            let (amount, settled) = (first.amount, first.settled);
            self.entries.pop_front();
            self.take(amount, settled);
            self.empty -= usize::from(amount == 0);
        }
    }

    /// Takes up to `amount` off a hold that has not expired; says how much that freed.
    pub fn reduce(&mut self, id: HoldId, amount: u64) -> u64 {
        let Some(entry) = self.find(id).map(|at| &mut self.entries[at]) else { return 0 };
        let freed = amount.min(entry.amount);
        let settled = entry.settled;
        entry.amount -= freed;
        let emptied = freed != 0 && entry.amount == 0;
        self.take(freed, settled);
        if emptied {
            self.empty += 1;
            self.compact();
        }
        freed
    }

    /// Takes `unused` off a hold and marks the rest as used: it can be reduced no more. Says how much that freed.
    pub fn settle_after(&mut self, id: HoldId, unused: u64) -> u64 {
        let Some(at) = self.find(id) else { return 0 };
        let entry = &mut self.entries[at];
        if !entry.settled {
            entry.settled = true;
            self.unsettled -= u128::from(entry.amount);
        }
        if unused == 0 { 0 } else { self.reduce(id, unused) }
    }

    /// What is left of a hold; `None` when it has expired or was released.
    #[must_use]
    pub fn amount(&self, id: HoldId) -> Option<u64> {
        self.find(id).map(|at| self.entries[at].amount).filter(|amount| *amount != 0)
    }

    /// When `amount` of what is held will be free; `None` if more is asked for than is held.
    #[must_use]
    pub fn when_freed(&self, amount: u128, now: Moment) -> Option<FreeAt> {
        let expected = self.expiry_of(amount, now, |_| true)?;
        let earliest = match amount.checked_sub(self.unsettled) {
            None | Some(0) => now,
            Some(rest) => self.expiry_of(rest, now, |entry| entry.settled)?,
        };
        Some(FreeAt { expected, earliest })
    }

    /// When the next hold expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Moment> {
        self.entries.iter().find(|entry| entry.amount != 0).map(|entry| entry.id.expires_at())
    }

    fn expiry_of(&self, amount: u128, now: Moment, counts: impl Fn(&Entry) -> bool) -> Option<Moment> {
        let mut freed = 0_u128;
        if amount == 0 {
            return Some(now);
        }
        self.entries.iter().filter(|entry| counts(entry)).find_map(|entry| {
            freed += u128::from(entry.amount);
            (amount <= freed).then_some(entry.id.expires_at())
        })
    }

    fn find(&self, id: HoldId) -> Option<usize> {
        // Where it is unless an entry was put between others or compacted away.
        let guess = id.sequence.wrapping_sub(self.entries.front()?.id.sequence) as usize;
        if self.entries.get(guess).is_some_and(|entry| entry.id == id) {
            return Some(guess);
        }
        self.entries.binary_search_by(|entry| entry.id.cmp(&id)).ok()
    }

    fn take(&mut self, amount: u64, settled: bool) {
        let amount = u128::from(amount);
        self.held = self.held.checked_sub(amount).expect("the entries add up to what is held");
        if !settled {
            self.unsettled = self.unsettled.checked_sub(amount).expect("unsettled entries are held");
        }
    }

    /// Keeps released holds from piling up behind one that is still held.
    fn compact(&mut self) {
        while self.entries.back().is_some_and(|last| last.amount == 0) {
            self.entries.pop_back();
            self.empty -= 1;
        }
        if COMPACT_ENTRIES_MIN <= self.entries.len() && self.entries.len() < 2 * self.empty {
            self.entries.retain(|entry| entry.amount != 0);
            self.empty = 0;
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 24);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn released_holds_do_not_pile_up_behind_one_that_stays() {
        let mut log = HoldLog::default();
        let first = log.insert(at(1_000_000), 1, false);
        for n in 0..100_000 {
            let id = log.insert(at(1_000_001 + n), 1, false);
            let newest = log.insert(at(1_000_001 + n), 1, false);
            log.reduce(id, 1);
            log.reduce(newest, 1);
        }
        assert!(log.entries.len() <= 2 * COMPACT_ENTRIES_MIN, "{} entries", log.entries.len());
        assert_eq!((log.held(), log.amount(first)), (1, Some(1)));
    }

    #[test]
    fn what_is_settled_frees_by_expiry_only() {
        let mut log = HoldLog::default();
        let used = log.insert(at(10), 5, false);
        log.insert(at(20), 5, false);
        log.settle_after(used, 0);
        assert_eq!(log.when_freed(5, at(0)), Some(FreeAt { expected: at(10), earliest: at(0) }));
        assert_eq!(log.when_freed(6, at(0)), Some(FreeAt { expected: at(20), earliest: at(10) }));
        assert_eq!(log.when_freed(11, at(0)), None);
    }

    #[test]
    fn sequences_may_wrap_around() {
        let mut log = HoldLog { next_sequence: u32::MAX - 1, ..HoldLog::default() };
        let ids: Vec<_> = (1..=4).map(|amount| (log.insert(at(10), amount, false), amount)).collect();
        assert!(ids.iter().all(|(id, amount)| log.amount(*id) == Some(*amount)), "{log:?}");
        assert!(ids.iter().all(|(id, amount)| log.reduce(*id, u64::MAX) == *amount), "{log:?}");
        assert_eq!((log.held(), log.entries.len()), (0, 0));
    }

    proptest! {
        /// Against the plainest possible model: a list that is searched from end to end.
        #[test]
        fn the_log_agrees_with_a_list(
            steps in proptest::collection::vec((0_u8..5, 0_u64..50, 0_u64..20, any::<prop::sample::Index>()), 1..200),
        ) {
            let mut log = HoldLog::default();
            let mut model: Vec<(HoldId, u64)> = Vec::new();
            let mut now = 0;
            for (step, time, amount, pick) in steps {
                match step {
                    0 | 1 => {
                        let id = log.insert(at(now + time), amount, false);
                        model.push((id, amount));
                    }
                    2 if !model.is_empty() => {
                        let place = pick.index(model.len());
                        let (id, held) = model[place];
                        prop_assert_eq!(log.reduce(id, amount), amount.min(held));
                        model[place].1 -= amount.min(held);
                    }
                    3 if !model.is_empty() => {
                        log.settle_after(model[pick.index(model.len())].0, 0);
                    }
                    _ => {
                        now += time;
                        log.expire(at(now));
                        model.retain(|(id, _)| at(now) < id.expires_at());
                    }
                }
                prop_assert_eq!(log.held(), model.iter().map(|(_, amount)| u128::from(*amount)).sum::<u128>());
                for (id, amount) in &model {
                    prop_assert_eq!(log.amount(*id), Some(*amount).filter(|amount| *amount != 0));
                }
                let next = model.iter().filter(|(_, amount)| *amount != 0).map(|(id, _)| id.expires_at()).min();
                prop_assert_eq!(log.next_expiry(), next);
                prop_assert!(log.unsettled <= log.held);
            }
        }
    }
}
