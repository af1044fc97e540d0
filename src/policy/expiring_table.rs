//! A table whose entries live for a set time, and of which there is a set number at most: the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::moment::Moment;

/// What is kept until somebody asks for it, or until it is too old. It needs no timer: what is over goes when something
/// comes.
#[derive(Debug)]
pub struct ExpiringTable<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Every entry in the order of its end, and some that were taken out since.
    order: VecDeque<(K, u64)>,
    next_serial: u64,
    lifetime: Duration,
    count_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    ends_at: Moment,
    /// Tells it from an earlier entry of the same key.
    serial: u64,
}

impl<K: Clone + Eq + Hash, V> ExpiringTable<K, V> {
    /// An empty table whose entries live for `lifetime`, of which there are at most `count_max`.
    #[must_use]
    pub fn new(lifetime: Duration, count_max: usize) -> Self {
        assert!(count_max != 0, "a table has room for something");
        Self { entries: HashMap::new(), order: VecDeque::new(), next_serial: 0, lifetime, count_max }
    }

    /// Keeps `value`, in place of what was kept under `key`. What is over goes, and the oldest if there is no room.
    pub fn insert(&mut self, key: K, value: V, now: Moment) {
        self.drop_ended(now);
        if self.entries.len() == self.count_max && !self.entries.contains_key(&key) {
            self.drop_oldest();
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        self.entries.insert(key.clone(), Entry { value, ends_at: now.after(self.lifetime), serial });
        self.order.push_back((key, serial));
        if self.order.len() > 64 + 2 * self.entries.len() {
            let entries = &self.entries;
            self.order.retain(|(key, serial)| entries.get(key).is_some_and(|entry| entry.serial == *serial));
        }
        assert!(self.entries.len() <= self.count_max, "it keeps to its bound");
    }

    /// Takes out what is kept under `key`; `None` if it is over.
    pub fn remove(&mut self, key: &K, now: Moment) -> Option<V> {
        self.entries.remove(key).filter(|entry| now < entry.ends_at).map(|entry| entry.value)
    }

    /// How many entries there are, some that are over among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn drop_ended(&mut self, now: Moment) {
        while let Some((key, serial)) = self.order.front() {
            match self.entries.get(key) {
                Some(entry) if entry.serial == *serial && now < entry.ends_at => return,
                Some(entry) if entry.serial == *serial => drop(self.entries.remove(key)),
                _ => {}
            }
            self.order.pop_front();
        }
    }

    fn drop_oldest(&mut self) {
        while let Some((key, serial)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.serial == serial) {
                self.entries.remove(&key);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment::START.after(Duration::from_secs(seconds))
    }

    fn table(count_max: usize) -> ExpiringTable<u8, u32> {
        ExpiringTable::new(Duration::from_secs(10), count_max)
    }

    #[test]
    fn an_entry_can_be_taken_out_once() {
        let mut table = table(4);
        table.insert(1, 10, at(0));
        assert_eq!((table.remove(&1, at(9)), table.remove(&1, at(9))), (Some(10), None));
    }

    #[test]
    fn an_entry_that_is_over_is_gone() {
        let mut table = table(4);
        table.insert(1, 10, at(0));
        table.insert(2, 20, at(5));
        assert_eq!(table.remove(&1, at(10)), None);
        table.insert(3, 30, at(15));
        assert_eq!(table.len(), 1, "the second went by itself");
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut table = table(2);
        for key in 1..=3 {
            table.insert(key, u32::from(key), at(0));
        }
        assert_eq!(
            (table.remove(&1, at(1)), table.remove(&2, at(1)), table.remove(&3, at(1))),
            (None, Some(2), Some(3))
        );
    }

    #[test]
    fn a_key_that_comes_again_lives_anew() {
        let mut table = table(2);
        table.insert(1, 10, at(0));
        table.insert(1, 11, at(8));
        table.insert(2, 20, at(12));
        assert_eq!(table.remove(&1, at(17)), Some(11));
    }

    proptest! {
        #[test]
        fn it_keeps_to_its_bounds(steps in proptest::collection::vec((0..40_u8, 0..3_u64, any::<bool>()), 1..600)) {
            let (mut table, mut now) = (table(8), 0);
            for (key, seconds, inserts) in steps {
                now += seconds;
                if inserts {
                    table.insert(key, 1, at(now));
                } else {
                    table.remove(&key, at(now));
                }
                prop_assert!(table.entries.len() <= 8 && table.order.len() <= 65 + 2 * 8);
            }
        }
    }
}
