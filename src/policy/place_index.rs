//! Places of a table, found by the names of what is there. It keeps a part of each name's hash and not the name, so
//! that it can grow without a visit to every place: with a million of them that would be a tenth of a second under the
//! lock.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    place: u32,
}

#[derive(Debug, Default)]
pub(crate) struct PlaceIndex {
    entries: HashTable<Entry>,
    hasher: RandomState,
}

impl PlaceIndex {
    /// The place with this name. `is_named` tells whether the place given to it has the name.
    pub(crate) fn find(&self, name: impl Hash, is_named: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hash(name);
        let entry = self.entries.find(spread(hash), |entry| entry.hash == hash && is_named(entry.place as usize));
        entry.map(|entry| entry.place as usize)
    }

    /// Puts in a place, whose name must not be there.
    pub(crate) fn insert(&mut self, name: impl Hash, place: usize) {
        let place = u32::try_from(place).expect("places are numbered with 32 bits");
        let hash = self.hash(name);
        self.entries.insert_unique(spread(hash), Entry { hash, place }, |entry| spread(entry.hash));
    }

    /// Takes out a place, which must be there with this name.
    pub(crate) fn remove(&mut self, name: impl Hash, place: usize) {
        let hash = spread(self.hash(name));
        let entry = self.entries.find_entry(hash, |entry| entry.place as usize == place);
        entry.expect("every place that is in use is found by its name").remove();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn hash(&self, name: impl Hash) -> u32 {
        self.hasher.hash_one(name) as u32
    }
}

/// The table looks at the lowest bits and at the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
