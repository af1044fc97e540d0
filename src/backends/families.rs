//! The definitions in force, each with what all of its limits have in common. What every ledger knows of them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use foldhash::fast::RandomState;
use slab::Slab;

use super::Registered;
use crate::policy::{Counters, Definition, Key, KeyPattern, Moment};

/// The place of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyIndex(u32);

/// A definition with all limits that follow it: one, or a template's instances.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) registered: Arc<Registered>,
    /// What its limits have counted, those that are gone included.
    pub(crate) counters: Counters,
    /// When the last pause of its limits ends.
    pub(crate) paused_until: Moment,
    /// How many limits follow it now.
    pub(crate) instances: usize,
}

impl Family {
    pub(crate) fn definition(&self) -> &Definition {
        &self.registered.definition
    }

    /// One of its limits is paused until then, or not at all.
    pub(crate) fn note_pause(&mut self, until: Option<Moment>) {
        self.paused_until = self.paused_until.max(until.unwrap_or_default());
    }
}

/// All definitions, found by their pattern and by the keys they cover.
#[derive(Debug, Default)]
pub(crate) struct Families {
    families: Slab<Family>,
    by_pattern: HashMap<Box<str>, FamilyIndex, RandomState>,
    /// Templates, the one to prefer first.
    templates: Vec<FamilyIndex>,
}

impl Families {
    /// Takes a definition in, in place of an older version.
    ///
    /// # Errors
    /// The version of the one that stays: it is newer, or another one with this version.
    pub(crate) fn put(&mut self, registered: &Arc<Registered>) -> Result<(), u64> {
        let pattern = &registered.definition.pattern;
        if let Some(index) = self.with_pattern(pattern) {
            let family = &mut self[index];
            let known = &family.registered;
            if registered.version < known.version || registered.version == known.version && registered != known {
                return Err(known.version);
            }
            family.registered = Arc::clone(registered);
            return Ok(());
        }
        let (registered, counters) = (Arc::clone(registered), Counters::default());
        let family = Family { registered, counters, paused_until: Moment::START, instances: 0 };
        let index = FamilyIndex(self.families.insert(family) as u32);
        self.by_pattern.insert(pattern.as_str().into(), index);
        if pattern.is_template() {
            let order = |other: &FamilyIndex| self[*other].definition().pattern.precedence(pattern);
            let place = self.templates.partition_point(|other| order(other) == Ordering::Less);
            self.templates.insert(place, index);
        }
        Ok(())
    }

    /// Takes a definition out that no limit follows any more.
    pub(crate) fn remove(&mut self, index: FamilyIndex) {
        let family = self.families.remove(index.0 as usize);
        assert_eq!(family.instances, 0, "every limit of a removed definition is retired");
        self.templates.retain(|other| *other != index);
        self.by_pattern.remove(family.definition().pattern.as_str());
    }

    pub(crate) fn with_pattern(&self, pattern: &KeyPattern) -> Option<FamilyIndex> {
        self.by_pattern.get(pattern.as_str()).copied()
    }

    /// The exact definition of `key`, else the best template that covers it.
    pub(crate) fn covering(&self, key: &Key) -> Option<FamilyIndex> {
        self.all_covering(key).next()
    }

    /// All that cover `key`, the one to prefer first.
    pub(crate) fn all_covering(&self, key: &Key) -> impl Iterator<Item = FamilyIndex> {
        let covers = |index: &&FamilyIndex| self[**index].definition().pattern.matches(key.as_str());
        self.by_pattern.get(key.as_str()).into_iter().chain(self.templates.iter().filter(covers)).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Family> {
        self.families.iter().map(|(_, family)| family)
    }
}

impl Index<FamilyIndex> for Families {
    type Output = Family;

    fn index(&self, index: FamilyIndex) -> &Family {
        &self.families[index.0 as usize]
    }
}

impl IndexMut<FamilyIndex> for Families {
    fn index_mut(&mut self, index: FamilyIndex) -> &mut Family {
        &mut self.families[index.0 as usize]
    }
}
