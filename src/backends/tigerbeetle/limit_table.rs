//! The limits that this server knows of, found by key and by what stands for it in the ledger.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use slab::Slab;

use super::limit::Limit;
use crate::backends::families::{Families, FamilyIndex};
use crate::policy::{Key, Moment};

/// An instance of a template that was not used for so long may be forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// How far the hand looks for an idle instance when a template has as many as it may.
const HAND_STEPS_WHEN_FULL: usize = 256;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) limit: Arc<Limit>,
    pub(super) family: FamilyIndex,
    pub(super) epoch: u32,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) slots: Slab<Slot>,
    pub(super) by_key: HashMap<Key, usize, RandomState>,
    pub(super) by_hash: HashMap<u128, usize, RandomState>,
    pub(super) by_tag: HashMap<u64, usize, RandomState>,
    /// The places that somebody waits for.
    pub(super) watched: HashSet<usize, RandomState>,
    pub(super) families: Families,
    /// Rises with every change of a definition; a limit that is behind looks for its definition again.
    pub(super) epoch: u32,
    pub(super) places: usize,
    pub(super) hand: usize,
}

impl Table {
    pub(super) fn current(&self, key: &Key) -> Option<&Arc<Limit>> {
        let slot = &self.slots[*self.by_key.get(key)?];
        (slot.epoch == self.epoch).then_some(&slot.limit)
    }

    pub(super) fn refreshed(&mut self, key: &Key) -> Option<Arc<Limit>> {
        let place = *self.by_key.get(key)?;
        self.refresh(place).then(|| Arc::clone(&self.slots[place].limit))
    }

    /// Brings a limit up to date after some definition changed. False if no definition covers it any more.
    pub(super) fn refresh(&mut self, place: usize) -> bool {
        let slot = &self.slots[place];
        let (old, new) = (slot.family, self.families.covering(&slot.limit.key));
        let Some(new) = new else {
            self.take(place);
            return false;
        };
        self.families[old].instances -= 1;
        self.families[new].instances += 1;
        let slot = &mut self.slots[place];
        (slot.family, slot.epoch) = (new, self.epoch);
        let mut state = slot.limit.lock();
        self.families[new].note_pause(state.restraints.paused_until(Moment::START));
        let registered = &self.families[new].registered;
        if !Arc::ptr_eq(&state.registered, registered) {
            (state.registered, state.standing) = (Arc::clone(registered), None);
        }
        true
    }

    pub(super) fn insert(&mut self, limit: Arc<Limit>, family: FamilyIndex) {
        let (key, hash) = (limit.key.clone(), limit.hash);
        let place = self.slots.insert(Slot { limit, family, epoch: self.epoch });
        self.places = self.places.max(place + 1);
        self.families[family].instances += 1;
        self.by_key.insert(key, place);
        self.by_hash.insert(hash, place);
        self.by_tag.insert(hash as u64, place);
    }

    pub(super) fn take(&mut self, place: usize) -> Slot {
        let slot = self.slots.remove(place);
        self.watched.remove(&place);
        self.by_key.remove(&slot.limit.key);
        self.by_hash.remove(&slot.limit.hash);
        self.by_tag.remove(&(slot.limit.hash as u64));
        self.families[slot.family].instances -= 1;
        slot
    }

    pub(super) fn make_room(&mut self, family: FamilyIndex, now: Moment) -> bool {
        (0..HAND_STEPS_WHEN_FULL).any(|_| {
            self.step();
            let is_of_family = self.slots.get(self.hand).is_some_and(|slot| slot.family == family);
            is_of_family && self.forget(now, now)
        })
    }

    pub(super) fn step(&mut self) {
        self.hand = if self.hand + 1 < self.places { self.hand + 1 } else { 0 };
    }

    pub(super) fn forget_if_idle(&mut self, now: Moment) {
        let unused_since = Moment::from_nanos(now.as_nanos().saturating_sub(IDLE.as_nanos() as u64));
        self.forget(unused_since, now);
    }

    /// Forgets the instance at the hand, if it was not used since then and nobody holds on to it.
    pub(super) fn forget(&mut self, unused_since: Moment, now: Moment) -> bool {
        let Some(slot) = self.slots.get(self.hand) else { return false };
        let is_template = self.families[slot.family].definition().pattern.is_template();
        let is_idle = is_template
            && !self.watched.contains(&self.hand)
            && Arc::strong_count(&slot.limit) == 1
            && slot.limit.is_idle(unused_since, now);
        if is_idle {
            self.take(self.hand);
        }
        is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::Ids;
    use super::super::limits::{Limits, Unresolved};
    use super::*;
    use crate::backends::Registered;
    use crate::policy::{DefinitionFields, KeyPattern};

    fn put(limits: &Limits, key: &str, version: u64) {
        let (key, kind) = (key.to_owned(), "rolling".to_owned());
        let fields =
            DefinitionFields { key, kind, capacity: 5, window_seconds: Some(60), ..DefinitionFields::default() };
        let definition = fields.check().expect("a good definition");
        limits.put(&Arc::new(Registered { definition, version })).expect("the newest");
    }

    fn key(text: &str) -> Key {
        Key::parse(text).expect("a good key")
    }

    fn at(seconds: u64) -> Moment {
        Moment::START.after(Duration::from_secs(1_000 + seconds))
    }

    #[test]
    fn an_instance_that_nobody_uses_is_forgotten_after_a_minute() {
        let limits = Limits::new(Ids::new(1), 100);
        put(&limits, "t:{x}", 1);
        put(&limits, "own", 2);
        for name in ["t:idle", "t:watched", "t:used", "t:paused", "own"] {
            drop(limits.resolve(&key(name), at(0)).expect("it is defined"));
        }
        limits.watch(&key("t:watched"), true);
        let used = limits.resolve(&key("t:used"), at(0)).expect("it is defined");
        limits.resolve(&key("t:paused"), at(0)).expect("it is defined").lock().restraints.pause(at(61));
        limits.sweep(at(59));
        assert_eq!(limits.len(), 5);
        limits.sweep(at(60));
        assert_eq!(limits.len(), 4);
        assert!(limits.existing(&key("t:idle")).is_none() && limits.with_tag(limits_tag("t:idle")).is_none());
        drop(used);
        limits.watch(&key("t:watched"), false);
        limits.sweep(at(61));
        assert_eq!(limits.len(), 1, "what is defined by itself stays");
    }

    fn limits_tag(name: &str) -> u64 {
        Ids::new(1).key(&key(name)) as u64
    }

    #[test]
    fn a_full_template_makes_room_by_forgetting_what_nobody_holds() {
        let limits = Limits::new(Ids::new(1), 2);
        put(&limits, "t:{x}", 1);
        let held = [limits.resolve(&key("t:a"), at(0)), limits.resolve(&key("t:b"), at(0))];
        assert_eq!(limits.resolve(&key("t:c"), at(1)).err(), Some(Unresolved::TooManyInstances));
        drop(held);
        assert!(limits.resolve(&key("t:c"), at(1)).is_ok());
        assert_eq!(limits.len(), 2);
    }

    #[test]
    fn a_better_definition_takes_a_limit_over_and_a_removed_one_takes_it_along() {
        let limits = Limits::new(Ids::new(1), 100);
        put(&limits, "t:{x}", 1);
        let limit = limits.resolve(&key("t:a"), at(0)).expect("it is defined");
        put(&limits, "t:a", 2);
        let same = limits.resolve(&key("t:a"), at(0)).expect("it is defined");
        assert!(Arc::ptr_eq(&limit, &same) && same.registered().version == 2);
        let pattern = |text| KeyPattern::parse(text).expect("a good pattern");
        let removed = limits.remove(&pattern("t:a")).expect("it was there");
        assert_eq!(removed.len(), 1);
        let anew = limits.resolve(&key("t:a"), at(0)).expect("the template covers it");
        assert!(!Arc::ptr_eq(&limit, &anew) && anew.registered().version == 1);
        assert!(limits.remove(&pattern("t:{x}")).is_some());
        assert_eq!(limits.resolve(&key("t:a"), at(0)).err(), Some(Unresolved::Unknown));
        assert!(limits.remove(&pattern("t:{x}")).is_none());
    }
}
