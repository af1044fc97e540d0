//! The limits that this server knows of, and the definitions they come from, for all who use them. What is forgotten
//! here is found again in the ledger.

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

use super::definition_log::Origin;
use super::ids::{Ids, TemplateTag};
use super::limit::Limit;
use super::limit_table::Table;
use crate::backends::Registered;
use crate::backends::families::Family;
use crate::policy::{Amounts, Key, KeyPattern, Moment};

/// How many places one step of housekeeping looks at.
const SWEEP_PLACES: usize = 256;

/// Why a key has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    Unknown,
    TooManyInstances,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Limits {
    table: RwLock<Table>,
    ids: Ids,
    max_instances: usize,
}

impl Limits {
    pub(super) fn new(ids: Ids, max_instances: usize) -> Self {
        Self { table: RwLock::default(), ids, max_instances }
    }

    /// The limit of `key`, made now if a template covers it.
    pub(super) fn resolve(&self, key: &Key, now: Moment) -> Result<Arc<Limit>, Unresolved> {
        if let Some(limit) = self.read().current(key) {
            return Ok(Arc::clone(limit));
        }
        let mut table = self.write();
        if let Some(limit) = table.refreshed(key) {
            return Ok(limit);
        }
        let family = table.families.covering(key).ok_or(Unresolved::Unknown)?;
        let is_template = table.families[family].definition().pattern.is_template();
        let is_full = is_template && self.max_instances <= table.families[family].instances;
        if is_full && !table.make_room(family, now) {
            return Err(Unresolved::TooManyInstances);
        }
        let registered = Arc::clone(&table.families[family].registered);
        let limit = Arc::new(Limit::new(key.clone(), self.ids.key(key), registered, now));
        table.insert(Arc::clone(&limit), family);
        Ok(limit)
    }

    /// The limits of a request, in its order, those that are there by one look at the table.
    pub(super) fn resolve_all(
        &self,
        amounts: &Amounts,
        now: Moment,
    ) -> impl Iterator<Item = Result<Arc<Limit>, Unresolved>> {
        let current: SmallVec<[_; 4]> = {
            let table = self.read();
            amounts.iter().map(|amount| table.current(&amount.key).cloned()).collect()
        };
        let limits = amounts.iter().zip(current);
        limits.map(move |(amount, current)| current.map_or_else(|| self.resolve(&amount.key, now), Ok))
    }

    /// The limit of `key`, if this server has it; makes none.
    pub(super) fn existing(&self, key: &Key) -> Option<Arc<Limit>> {
        let current = self.read().current(key).cloned();
        current.or_else(|| self.write().refreshed(key))
    }

    /// The definition that covers `key`.
    pub(super) fn definition_of(&self, key: &Key) -> Option<Arc<Registered>> {
        let table = self.read();
        table.families.covering(key).map(|family| Arc::clone(&table.families[family].registered))
    }

    /// All definitions that cover `key`, the one to prefer first.
    pub(super) fn definitions_of(&self, key: &Key) -> Vec<Arc<Registered>> {
        let table = self.read();
        table.families.all_covering(key).map(|family| Arc::clone(&table.families[family].registered)).collect()
    }

    /// The template that has this tag.
    pub(super) fn template(&self, tag: TemplateTag) -> Option<Arc<Registered>> {
        let table = self.read();
        let is_it = |pattern: &KeyPattern| pattern.is_template() && self.ids.template(pattern) == tag;
        let found = table.families.iter().find(|family| is_it(&family.definition().pattern));
        found.map(|family| Arc::clone(&family.registered))
    }

    pub(super) fn with_hash(&self, hash: u128) -> Option<Arc<Limit>> {
        let table = self.read();
        table.by_hash.get(&hash).map(|place| Arc::clone(&table.slots[*place].limit))
    }

    /// The limit with this half of what stands for its key.
    pub(super) fn with_tag(&self, tag: u64) -> Option<Arc<Limit>> {
        let table = self.read();
        table.by_tag.get(&tag).map(|place| Arc::clone(&table.slots[*place].limit))
    }

    /// Takes a definition in. If there is a newer one: its version.
    pub(super) fn put(&self, registered: &Arc<Registered>) -> Result<(), u64> {
        let mut table = self.write();
        table.families.put(registered)?;
        table.epoch += 1;
        Ok(())
    }

    /// Takes a definition out, if it is there: the limits that followed it, and whether each was watched.
    pub(super) fn remove(&self, pattern: &KeyPattern) -> Option<Vec<(Arc<Limit>, bool)>> {
        let mut table = self.write();
        let family = table.families.with_pattern(pattern)?;
        table.epoch += 1;
        let members: Vec<_> = table.slots.iter().filter(|(_, slot)| slot.family == family).map(|(at, _)| at).collect();
        let mut limits = Vec::new();
        for place in members {
            let key = table.slots[place].limit.key.clone();
            if table.families.covering(&key) == Some(family) {
                let is_watched = table.watched.contains(&place);
                limits.push((table.take(place).limit, is_watched));
            } else {
                // A better definition came since it was last used, and takes it over.
                table.refresh(place);
            }
        }
        table.families.remove(family);
        Some(limits)
    }

    /// The ledger is to be asked before limits of these keys are used again, whichever definition they follow.
    pub(super) fn close_covered_by(&self, pattern: &KeyPattern) {
        self.close_where(|limit| pattern.matches(limit.key.as_str()));
    }

    /// The same for limits that are what this template says, which need not be defined here.
    pub(super) fn close_instances_of(&self, template: TemplateTag) {
        self.close_where(|limit| limit.is_of(Origin::Template(template)));
    }

    /// The same for all that fill by time.
    pub(super) fn close_buckets(&self) {
        self.close_where(Limit::is_bucket);
    }

    fn close_where(&self, is_meant: impl Fn(&Limit) -> bool) {
        let table = self.read();
        let limits = table.slots.iter().map(|(_, slot)| &slot.limit);
        limits.filter(|limit| is_meant(limit)).for_each(|limit| limit.close());
    }

    pub(super) fn watch(&self, key: &Key, watched: bool) {
        let mut table = self.write();
        let Some(place) = table.by_key.get(key).copied() else { return };
        if watched {
            table.watched.insert(place);
        } else {
            table.watched.remove(&place);
        }
    }

    pub(super) fn is_watched(&self, key: &Key) -> bool {
        let table = self.read();
        table.by_key.get(key).is_some_and(|place| table.watched.contains(place))
    }

    /// Those that somebody waits for, at most `count`.
    pub(super) fn watched(&self, count: usize) -> Vec<Arc<Limit>> {
        let table = self.read();
        table.watched.iter().take(count).map(|place| Arc::clone(&table.slots[*place].limit)).collect()
    }

    /// Limits from place `cursor` on, and where the next page begins.
    pub(super) fn page(&self, cursor: usize, count: usize) -> (Vec<Key>, Option<usize>) {
        let table = self.read();
        let mut page: Vec<_> = (cursor..table.places)
            .filter_map(|place| table.slots.get(place).map(|slot| (place, slot.limit.key.clone())))
            .take(count.saturating_add(1))
            .collect();
        let next = if count < page.len() { page.pop() } else { None };
        (page.into_iter().map(|(_, key)| key).collect(), next.map(|(place, _)| place))
    }

    /// Forgets instances that nobody used for a while.
    pub(super) fn sweep(&self, now: Moment) {
        let mut table = self.write();
        for _ in 0..SWEEP_PLACES.min(table.places) {
            table.step();
            table.forget_if_idle(now);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.read().slots.len()
    }

    /// Changes what the definition of this limit has counted.
    pub(super) fn count(&self, key: &Key, change: impl FnOnce(&mut Family)) {
        let mut table = self.write();
        if let Some(family) = table.by_key.get(key).map(|place| table.slots[*place].family) {
            change(&mut table.families[family]);
        }
    }

    pub(super) fn families<T>(&self, view: impl Fn(&Family) -> T) -> Vec<T> {
        self.read().families.iter().map(view).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().expect("nothing under this lock panics but a broken invariant")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().expect("nothing under this lock panics but a broken invariant")
    }
}
