//! The definitions and how they change. Pure: what is kept where, and who applies it, is not decided here.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::Serialize;

use super::error::RegistryError;
use crate::backends::Registered;
use crate::policy::{Definition, KeyPattern};

/// The highest version that is read or taken from elsewhere: as many again are left for changes.
pub(super) const VERSION_MAX: u64 = u64::MAX / 2;

/// A definition and how it stands. This is also what the registry's file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The definition; while it is decreasing, with the capacity from before.
    pub definition: Definition,
    /// Whether the wanted capacity is in force.
    pub status: Status,
    /// The wanted capacity, while it is not in force.
    pub pending_decrease_to: Option<NonZeroU64>,
    /// Rises with every accepted change.
    pub version: u64,
    /// The version of the definition that the ledger follows instead, made elsewhere. It is not saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by_version: Option<u64>,
    /// Why the ledger does not follow it yet. It is not saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in_force: Option<String>,
}

/// Whether a definition is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Active,
    /// Its capacity waits to be lowered.
    Decreasing,
    /// It is deleted, and the ledger may not know. Only the registry's file says so.
    Deleted,
}

impl Entry {
    /// A definition, with a capacity that is still to be lowered if `pending_decrease_to` says so.
    pub(super) fn new(definition: Definition, pending_decrease_to: Option<NonZeroU64>, version: u64) -> Self {
        let status = if pending_decrease_to.is_some() { Status::Decreasing } else { Status::Active };
        Self { definition, status, pending_decrease_to, version, superseded_by_version: None, not_in_force: None }
    }

    /// The definition with the capacity it is to have.
    #[must_use]
    pub fn wanted(&self) -> Arc<Registered> {
        let mut definition = self.definition.clone();
        definition.capacity = self.pending_decrease_to.unwrap_or(definition.capacity);
        Arc::new(Registered { definition, version: self.version })
    }
}

/// All definitions, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    entries: BTreeMap<String, Entry>,
    /// Deleted entries that are still to be taken out of the ledger.
    leaving: BTreeMap<String, Entry>,
    last_version: u64,
}

impl Catalog {
    /// The entries as they were saved.
    #[must_use]
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut catalog = Self::default();
        for entry in entries {
            catalog.last_version = catalog.last_version.max(entry.version);
            let is_deleted = entry.status == Status::Deleted;
            let entries = if is_deleted { &mut catalog.leaving } else { &mut catalog.entries };
            entries.insert(entry.definition.pattern.to_string(), entry);
        }
        catalog
    }

    /// The entries, in the order of their keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Those that are deleted, and still to be taken out of the ledger.
    pub(super) fn leaving(&self) -> impl Iterator<Item = &Entry> {
        self.leaving.values()
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// One entry.
    #[must_use]
    pub(super) fn get(&self, pattern: &KeyPattern) -> Option<&Entry> {
        self.entries.get(pattern.as_str())
    }

    /// Takes `definition` in. A lower capacity is only pending until a ledger has applied it; a template has no
    /// capacity of its own to lower. Returns the entry as it now stands; the same definition again changes nothing.
    ///
    /// # Errors
    /// A conflict with what is there.
    pub(super) fn put(&mut self, definition: Definition, max: usize) -> Result<Entry, RegistryError> {
        let key = definition.pattern.to_string();
        let Some(existing) = self.entries.get(&key) else {
            self.check_new(&definition, max)?;
            let entry = Entry::new(definition, None, self.next_version());
            self.leaving.remove(&key);
            self.entries.insert(key, entry.clone());
            return Ok(entry);
        };
        if existing.definition.kind.name() != definition.kind.name() {
            return Err(RegistryError::KindConflict { key, existing: existing.definition.kind.name() });
        }
        if existing.wanted().definition == definition {
            return Ok(existing.clone());
        }
        let in_force = existing.definition.capacity;
        let is_decrease = definition.capacity < in_force && !definition.pattern.is_template();
        let mut definition = definition;
        let lower = is_decrease.then(|| std::mem::replace(&mut definition.capacity, in_force));
        let entry = Entry::new(definition, lower, self.next_version());
        self.entries.insert(key, entry.clone());
        Ok(entry)
    }

    /// Makes an entry newer than `version`, which a ledger knows from elsewhere. Returns the entry as it now stands.
    ///
    /// # Errors
    /// It is gone, or there are no newer versions.
    pub(super) fn raise(&mut self, pattern: &KeyPattern, version: u64) -> Result<Entry, RegistryError> {
        let contested = || RegistryError::Contested { key: pattern.to_string() };
        let entry = self.entries.get_mut(pattern.as_str()).filter(|_| version < VERSION_MAX).ok_or_else(contested)?;
        self.last_version = self.last_version.max(version) + 1;
        entry.version = self.last_version;
        Ok(entry.clone())
    }

    /// Takes an entry out, and with it the newer one that the ledger follows instead. Until the ledger has done the
    /// same, that is kept in mind.
    pub(super) fn delete(&mut self, pattern: &KeyPattern, superseded_by: Option<u64>) -> Option<Entry> {
        let (key, entry) = self.entries.remove_entry(pattern.as_str())?;
        let version =
            superseded_by.filter(|newer| *newer < VERSION_MAX).map_or(entry.version, |v| v.max(entry.version));
        self.last_version = self.last_version.max(version);
        self.leaving.insert(key, Entry { status: Status::Deleted, version, ..entry.clone() });
        Some(entry)
    }

    /// The version of a deleted entry that is still to be taken out of the ledger.
    pub(super) fn version_leaving(&self, pattern: &KeyPattern) -> Option<u64> {
        self.leaving.get(pattern.as_str()).map(|entry| entry.version)
    }

    /// The ledger does not follow a deleted entry any more.
    pub(super) fn left(&mut self, pattern: &KeyPattern) -> Option<Entry> {
        self.leaving.remove(pattern.as_str())
    }

    /// A ledger has applied the pending decrease of this version. Says whether that was news.
    pub(super) fn applied(&mut self, pattern: &KeyPattern, version: u64) -> Option<Entry> {
        let entry = self.entries.get_mut(pattern.as_str()).filter(|entry| entry.version == version)?;
        entry.definition.capacity = entry.pending_decrease_to.take()?;
        entry.status = Status::Active;
        Some(entry.clone())
    }

    fn check_new(&self, definition: &Definition, max: usize) -> Result<(), RegistryError> {
        // What the ledger may still follow takes a place there.
        let leaving = self.leaving.values().filter(|entry| entry.definition.pattern != definition.pattern);
        if max <= self.entries.len() + leaving.count() {
            return Err(RegistryError::TooManyLimits { max });
        }
        // A key that is no template has a twin only in itself, and that is not here: it need not be looked for.
        let is_template = definition.pattern.is_template();
        let mut templates = self.entries().filter(|entry| is_template && entry.definition.pattern.is_template());
        let twin = templates.find(|entry| entry.definition.pattern.same_shape(&definition.pattern));
        match twin {
            Some(twin) => {
                let existing = twin.definition.pattern.to_string();
                Err(RegistryError::ShapeConflict { key: definition.pattern.to_string(), existing })
            }
            None => Ok(()),
        }
    }

    fn next_version(&mut self) -> u64 {
        self.last_version += 1;
        self.last_version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DefinitionFields;

    fn rolling(key: &str, capacity: u64) -> Definition {
        let fields = DefinitionFields {
            key: key.into(),
            kind: "rolling".into(),
            capacity,
            window_seconds: Some(60),
            ..Default::default()
        };
        fields.check().expect("a good definition")
    }

    fn concurrency(key: &str) -> Definition {
        let fields = DefinitionFields {
            key: key.into(),
            kind: "concurrency".into(),
            capacity: 1,
            timeout_seconds: Some(60),
            ..Default::default()
        };
        fields.check().expect("a good definition")
    }

    #[test]
    fn versions_rise_with_every_change_and_only_then() {
        let mut catalog = Catalog::default();
        let version = |entry: Result<Entry, RegistryError>| entry.expect("accepted").version;
        assert_eq!(version(catalog.put(rolling("a", 10), 9)), 1);
        assert_eq!(version(catalog.put(rolling("a", 10), 9)), 1);
        assert_eq!(version(catalog.put(rolling("b", 10), 9)), 2);
        assert_eq!(version(catalog.put(rolling("a", 11), 9)), 3);
        assert_eq!(version(Catalog::of(catalog.entries().cloned()).put(rolling("c", 1), 9)), 4);
    }

    #[test]
    fn a_lower_capacity_is_pending_until_it_was_applied() {
        let mut catalog = Catalog::default();
        catalog.put(rolling("a", 10), 9).expect("accepted");
        let lowered = catalog.put(rolling("a", 4), 9).expect("accepted");
        assert_eq!((lowered.status, lowered.definition.capacity.get()), (Status::Decreasing, 10));
        assert_eq!(lowered.wanted().definition.capacity.get(), 4);
        assert_eq!(catalog.put(rolling("a", 4), 9), Ok(lowered.clone()), "the same again changes nothing");
        let lower = catalog.put(rolling("a", 3), 9).expect("accepted");
        assert_eq!((lower.definition.capacity.get(), lower.pending_decrease_to.map(NonZeroU64::get)), (10, Some(3)));
        let pattern = lower.definition.pattern.clone();
        assert_eq!(catalog.applied(&pattern, lowered.version), None, "an older decrease was replaced");
        let applied = catalog.applied(&pattern, lower.version).expect("news");
        assert_eq!(
            (applied.status, applied.definition.capacity.get(), applied.pending_decrease_to),
            (Status::Active, 3, None)
        );
        assert_eq!(catalog.applied(&pattern, lower.version), None);
    }

    #[test]
    fn what_is_deleted_keeps_its_place_and_its_version_until_it_has_left() {
        let mut catalog = Catalog::default();
        let deleted = catalog.put(rolling("a", 10), 1).expect("accepted");
        let pattern = deleted.definition.pattern.clone();
        assert_eq!(catalog.delete(&pattern, None), Some(deleted));
        assert_eq!(
            (catalog.delete(&pattern, None), catalog.len(), catalog.version_leaving(&pattern)),
            (None, 0, Some(1))
        );
        assert!(matches!(catalog.put(rolling("b", 10), 1), Err(RegistryError::TooManyLimits { .. })));
        let mut again = Catalog::of(catalog.leaving().cloned());
        assert_eq!(again, catalog);
        assert_eq!(again.put(rolling("a", 10), 1).expect("in its own place").version, 2);
        assert_eq!(again.version_leaving(&pattern), None);
        again.delete(&pattern, Some(7));
        assert_eq!(again.version_leaving(&pattern), Some(7), "so that what was made elsewhere goes too");
        assert_eq!(again.put(rolling("a", 10), 1).expect("in its own place").version, 8);
        assert!(catalog.left(&pattern).is_some());
        catalog.put(rolling("b", 10), 1).expect("there is room");
    }

    #[test]
    fn a_raised_version_is_above_all_others() {
        let mut catalog = Catalog::default();
        let entries = ["a", "b"].map(|key| catalog.put(rolling(key, 10), 9).expect("accepted"));
        let patterns = entries.map(|entry| entry.definition.pattern);
        let raised = |catalog: &mut Catalog, at: usize, version| catalog.raise(&patterns[at], version);
        assert_eq!(raised(&mut catalog, 0, 7).expect("raised").version, 8);
        assert_eq!(raised(&mut catalog, 1, 1).expect("raised").version, 9, "also above those that are here");
        assert_eq!(catalog.put(rolling("c", 1), 9).expect("accepted").version, 10);
        catalog.put(rolling("a", 4), 9).expect("accepted");
        let lowered = raised(&mut catalog, 0, 20).expect("raised");
        assert_eq!((lowered.version, lowered.pending_decrease_to.map(NonZeroU64::get)), (21, Some(4)));
        let contested = RegistryError::Contested { key: "a".to_owned() };
        assert_eq!(raised(&mut catalog, 0, VERSION_MAX), Err(contested.clone()), "versions do not run out");
        catalog.delete(&patterns[0], None);
        assert_eq!(raised(&mut catalog, 0, 1), Err(contested));
    }

    #[test]
    fn conflicts_change_nothing_and_say_what_to_do() {
        let mut catalog = Catalog::default();
        catalog.put(rolling("a", 10), 2).expect("accepted");
        catalog.put(rolling("t:{x}", 10), 2).expect("accepted");
        let before = catalog.clone();
        let problem = |result: Result<Entry, RegistryError>| result.expect_err("a conflict").to_string();
        assert_eq!(
            problem(catalog.put(concurrency("a"), 2)),
            "`a` is a `rolling` limit, and the kind of an existing limit can't change; delete it first"
        );
        assert_eq!(
            problem(catalog.put(rolling("t:{y}", 1), 3)),
            "`t:{y}` covers the same keys as `t:{x}`; change or delete that one"
        );
        assert_eq!(
            problem(catalog.put(rolling("b", 1), 2)),
            "there are 2 limits, which is as many as `registry.max_limits` allows; delete one, use a template, or raise it"
        );
        assert_eq!(catalog, before);
    }
}
