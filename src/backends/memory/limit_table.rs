//! All limits, found by key, and the definitions they come from. An instance of a template is made on first use.

use std::sync::Arc;

use slab::Slab;

use crate::backends::families::{Families, Family, FamilyIndex};
use crate::backends::{Applied, Registered};
use crate::policy::PlaceIndex;
use crate::policy::{Key, KeyPattern, Limit, LimitIndex, LimitState, Moment};

/// How far the hand looks for an idle instance when a template has as many as it may.
const HAND_STEPS_WHEN_FULL: usize = 256;

/// One limit and what the ledger must know of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: Key,
    pub(super) limit: Limit,
    /// How many live leases hold something of it. It is kept until there are none, also when it is deleted.
    pub(super) leases: u32,
    pub(super) watched: bool,
    /// The definition it follows; `None` once it is deleted.
    family: Option<FamilyIndex>,
    /// The table's epoch when it last looked for its definition.
    epoch: u32,
}

/// Why a key has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    Unknown,
    TooManyInstances,
}

#[derive(Debug)]
pub(super) struct LimitTable {
    slots: Slab<Slot>,
    /// How many places were ever in use; the slab allocates more.
    places: usize,
    by_key: PlaceIndex,
    families: Families,
    /// Rises with every change of a definition; a limit that is behind looks for its definition again when it is used.
    epoch: u32,
    hand: usize,
    max_instances: usize,
}

impl LimitTable {
    pub(super) fn new(max_instances: usize) -> Self {
        Self {
            slots: Slab::new(),
            places: 0,
            by_key: PlaceIndex::default(),
            families: Families::default(),
            epoch: 0,
            hand: 0,
            max_instances,
        }
    }

    /// The limit of `key`, up to date with its definition, made now if a template covers it. The limits `kept`, which
    /// the same request has found before, do not make room for it.
    pub(super) fn resolve(&mut self, key: &Key, kept: &[LimitIndex], now: Moment) -> Result<LimitIndex, Unresolved> {
        match self.find(key) {
            Some(index) if self.slots[index.0 as usize].epoch == self.epoch => Ok(index),
            Some(index) if self.refresh(index, now) => Ok(index),
            _ => self.instantiate(key, kept, now),
        }
    }

    /// The limit of `key`, up to date, if it exists; makes none.
    pub(super) fn existing(&mut self, key: &Key, now: Moment) -> Option<LimitIndex> {
        let index = self.find(key)?;
        (self.slots[index.0 as usize].epoch == self.epoch || self.refresh(index, now)).then_some(index)
    }

    pub(super) fn slot(&self, index: LimitIndex) -> &Slot {
        &self.slots[index.0 as usize]
    }

    pub(super) fn slot_mut(&mut self, index: LimitIndex) -> &mut Slot {
        &mut self.slots[index.0 as usize]
    }

    /// The limit with its family; `None` for the family of a deleted limit.
    pub(super) fn with_family(&mut self, index: LimitIndex) -> (&mut Slot, Option<&mut Family>) {
        let slot = &mut self.slots[index.0 as usize];
        let family = slot.family.map(|family| &mut self.families[family]);
        (slot, family)
    }

    /// The definition that covers `key`.
    pub(super) fn definition_of(&self, key: &Key) -> Option<&Arc<Registered>> {
        self.families.covering(key).map(|family| &self.families[family].registered)
    }

    /// Takes a definition in force, unless there is a newer one. Says how it stands, for the one limit of an exact
    /// definition.
    pub(super) fn apply(&mut self, registered: &Arc<Registered>, now: Moment) -> Applied {
        if let Err(version) = self.families.put(registered) {
            return Applied::Superseded { version };
        }
        self.epoch += 1;
        let Some(key) = registered.definition.pattern.as_key() else { return Applied::InForce(LimitState::Active) };
        let index = self.resolve(&key, &[], now).expect("an exact definition has no bound on its one limit");
        Applied::InForce(self.slot(index).limit.state())
    }

    /// Takes a definition out; returns the watched limits that are gone.
    pub(super) fn remove(&mut self, pattern: &KeyPattern, now: Moment) -> Vec<Key> {
        let Some(family) = self.families.with_pattern(pattern) else { return Vec::new() };
        self.epoch += 1;
        let members: Vec<_> =
            self.slots.iter().filter(|(_, slot)| slot.family == Some(family)).map(|(index, _)| index).collect();
        let mut watched = Vec::new();
        for index in members {
            let slot = &self.slots[index];
            watched.extend(slot.watched.then(|| slot.key.clone()));
            if self.families.covering(&slot.key) == Some(family) {
                self.retire(LimitIndex(index as u32));
            } else {
                // A better definition came since it was last used, and takes it over with what it has charged.
                self.refresh(LimitIndex(index as u32), now);
            }
        }
        self.families.remove(family);
        // What a template still covers goes on as its instance.
        for key in &watched {
            let Ok(index) = self.resolve(key, &[], now) else { continue };
            self.slot_mut(index).watched = true;
        }
        watched
    }

    /// A lease that held something of the limit is over.
    pub(super) fn release(&mut self, index: LimitIndex) {
        let slot = self.slot_mut(index);
        slot.leases = slot.leases.checked_sub(1).expect("every hold was counted");
        if slot.leases == 0 && slot.family.is_none() {
            self.slots.remove(index.0 as usize);
        }
    }

    /// Looks at the next place; drops the instance there if it is idle and nothing is owed.
    pub(super) fn sweep_one(&mut self, now: Moment) {
        self.step();
        self.drop_if_idle(self.hand, now, false);
    }

    /// How many places one round of the hand has.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.families.iter()
    }

    /// Limits from place `cursor` on, with their place.
    pub(super) fn from(&self, cursor: usize) -> impl Iterator<Item = (usize, LimitIndex)> {
        (cursor..self.places)
            .filter(|place| self.slots.get(*place).is_some_and(|slot| slot.family.is_some()))
            .map(|place| (place, LimitIndex(place as u32)))
    }

    fn find(&self, key: &Key) -> Option<LimitIndex> {
        let place = self.by_key.find(key.as_str(), |place| self.slots[place].key == *key)?;
        Some(LimitIndex(place as u32))
    }

    /// Brings a limit up to date after some definition changed. False if it had to be given up.
    fn refresh(&mut self, index: LimitIndex, now: Moment) -> bool {
        let slot = &self.slots[index.0 as usize];
        let (old, new) = (slot.family, self.families.covering(&slot.key));
        let keeps = new.is_some_and(|new| slot.limit.is_of_kind(self.families[new].definition()));
        if !keeps {
            self.retire(index);
            return false;
        }
        if old != new {
            self.count_instance(old, |instances| *instances -= 1);
            self.count_instance(new, |instances| *instances += 1);
        }
        let (slot, family) = (&mut self.slots[index.0 as usize], &mut self.families[new.expect("it keeps one")]);
        slot.limit.redefine(family.definition(), now);
        family.note_pause(slot.limit.paused_until(now));
        slot.family = new;
        slot.epoch = self.epoch;
        true
    }

    fn instantiate(&mut self, key: &Key, kept: &[LimitIndex], now: Moment) -> Result<LimitIndex, Unresolved> {
        let family = self.families.covering(key).ok_or(Unresolved::Unknown)?;
        let is_template = self.families[family].definition().pattern.is_template();
        let is_full = is_template && self.max_instances <= self.families[family].instances;
        if is_full && !self.make_room(family, kept, now) {
            return Err(Unresolved::TooManyInstances);
        }
        let limit = Limit::new(self.families[family].definition(), now);
        let slot = Slot { key: key.clone(), limit, leases: 0, watched: false, family: Some(family), epoch: self.epoch };
        let place = self.slots.insert(slot);
        self.places = self.places.max(place + 1);
        self.families[family].instances += 1;
        self.by_key.insert(key.as_str(), place);
        Ok(LimitIndex(place as u32))
    }

    /// Drops one idle instance of a full template that is not `kept`, also one that only its accounting debt kept.
    fn make_room(&mut self, family: FamilyIndex, kept: &[LimitIndex], now: Moment) -> bool {
        (0..HAND_STEPS_WHEN_FULL).any(|_| {
            self.step();
            self.slots.get(self.hand).is_some_and(|slot| slot.family == Some(family))
                && !kept.contains(&LimitIndex(self.hand as u32))
                && self.drop_if_idle(self.hand, now, true)
        })
    }

    fn step(&mut self) {
        self.hand = if self.hand + 1 < self.places { self.hand + 1 } else { 0 };
    }

    fn drop_if_idle(&mut self, place: usize, now: Moment, despite_debt: bool) -> bool {
        let Some(slot) = self.slots.get_mut(place) else { return false };
        let Some(family) = slot.family.map(|family| &self.families[family]) else { return false };
        if !family.definition().pattern.is_template() || slot.leases != 0 || slot.watched {
            return false;
        }
        slot.limit.settle(family.definition(), now); // Nobody else may come to apply a pending decrease.
        let is_idle = slot.limit.is_idle(now) && (despite_debt || slot.limit.debt() == 0);
        if is_idle {
            self.retire(LimitIndex(place as u32));
        }
        is_idle
    }

    /// Takes a limit out of use; its place is freed once no lease holds anything of it.
    fn retire(&mut self, index: LimitIndex) {
        let place = index.0 as usize;
        self.by_key.remove(self.slots[place].key.as_str(), place);
        let family = self.slots[place].family.take();
        self.count_instance(family, |instances| *instances -= 1);
        if self.slots[place].leases == 0 {
            self.slots.remove(place);
        }
    }

    fn count_instance(&mut self, family: Option<FamilyIndex>, change: impl FnOnce(&mut usize)) {
        change(&mut self.families[family.expect("a limit in use has a definition")].instances);
    }
}
