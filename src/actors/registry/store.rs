//! Where the definitions are kept: in memory, and in a file if there is a data directory. It outlives the actor.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog::{Catalog, Entry};
use super::error::RegistryError;
use super::file::{RegistryFile, StoreError};
use super::standing::{Standing, Standings};
use crate::policy::{Definition, KeyPattern};

/// The definitions of one runtime.
#[derive(Debug)]
pub(crate) struct Store {
    file: Option<RegistryFile>,
    catalog: Mutex<Catalog>,
    /// What the ledger has not taken of it.
    standings: Mutex<Standings>,
    /// Held by the one change that is being made, also when the actor that asked for it has died.
    changing: Arc<tokio::sync::Mutex<()>>,
    max_limits: usize,
}

impl Store {
    /// Definitions that are lost when the process ends.
    #[must_use]
    pub(crate) fn in_memory(max_limits: usize) -> Self {
        Self::new(None, Catalog::default(), max_limits)
    }

    /// Definitions that are kept in `limits.json` in `directory`.
    ///
    /// # Errors
    /// If the directory or the file cannot be used; the file stays as it is.
    pub(crate) fn open(directory: &Path, max_limits: usize) -> Result<Self, StoreError> {
        let (file, catalog) = RegistryFile::open(directory)?;
        if max_limits < catalog.len() {
            return Err(StoreError {
                path: file.path().display().to_string(),
                problem: format!("has {} limits, more than `registry.max_limits` = {max_limits}", catalog.len()),
                hint: "raise `registry.max_limits`".to_owned(),
            });
        }
        Ok(Self::new(Some(file), catalog, max_limits))
    }

    fn new(file: Option<RegistryFile>, catalog: Catalog, max_limits: usize) -> Self {
        let catalog = Mutex::new(catalog);
        Self { file, catalog, standings: Mutex::default(), changing: Arc::default(), max_limits }
    }

    /// Lets another tollgate use the file, once the last change is over. None may follow.
    pub(crate) async fn close(&self) {
        let _last_change = self.changing.lock().await;
        if let Some(file) = &self.file {
            file.unlock();
        }
    }

    /// The definitions as they are.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.catalog().entries().cloned().collect();
        let standings = self.standings();
        entries.iter_mut().for_each(|entry| stand(&standings, entry));
        entries
    }

    /// The same, once the changes that were begun are over.
    pub(super) async fn settled_entries(&self) -> Vec<Entry> {
        let _turn = self.changing.lock().await;
        self.entries()
    }

    /// One definition.
    pub(crate) fn find(&self, pattern: &KeyPattern) -> Option<Entry> {
        let mut entry = self.catalog().get(pattern).cloned()?;
        stand(&self.standings(), &mut entry);
        Some(entry)
    }

    /// What the ledger has not taken of the definitions.
    pub(super) fn standings(&self) -> MutexGuard<'_, Standings> {
        self.standings.lock().expect("only inserts and removes")
    }

    /// The version of the definition that the ledger follows in place of this one.
    pub(super) fn superseded_by(&self, pattern: &KeyPattern) -> Option<u64> {
        match self.standings().get(pattern) {
            Some(Standing::Superseded(version)) => Some(*version),
            Some(Standing::Due { .. }) | None => None,
        }
    }

    /// How many definitions the ledger has not taken.
    pub(crate) fn standing_counts(&self) -> StandingCounts {
        let standings = self.standings();
        StandingCounts { not_in_force: standings.due().len() as u64, superseded: standings.superseded_len() as u64 }
    }

    /// The first `count` of those that are due.
    pub(super) fn due(&self, count: usize) -> Vec<KeyPattern> {
        self.standings().due().take(count).cloned().collect()
    }

    /// Those that are deleted, and still to be taken out of the ledger.
    pub(super) fn leaving(&self) -> Vec<KeyPattern> {
        self.catalog().leaving().map(|entry| entry.definition.pattern.clone()).collect()
    }

    /// The version of one of them.
    pub(super) fn version_leaving(&self, pattern: &KeyPattern) -> Option<u64> {
        self.catalog().version_leaving(pattern)
    }

    /// Changes the definitions, on disk first. Waits for the disk where blocking is allowed, and in turn, so that a
    /// change whose actor was killed is over before the next one begins. Those who only look wait for no disk.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        edit: impl FnOnce(&mut Catalog, usize) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (store, turn) = (Arc::clone(self), Arc::clone(&self.changing).lock_owned().await);
        let change = move || {
            let _turn = turn;
            store.change_blocking(edit)
        };
        let changed = tokio::task::spawn_blocking(change).await;
        changed
            .map_err(|error| RegistryError::Unavailable(format!("the change was cut short ({error}); send it again")))?
    }

    /// Takes the configured limits in if there are none yet, and those of a preset wherever they are missing; reports
    /// how what was configured differs from what was saved.
    pub(crate) fn seed(&self, seeds: &[Definition], preset: &[Definition]) -> Result<(), RegistryError> {
        let is_first_start = self.entries().is_empty();
        self.change_blocking(|catalog, max| {
            if is_first_start {
                seeds.iter().try_for_each(|seed| catalog.put(seed.clone(), max).map(drop))?;
            }
            let missing: Vec<_> = preset.iter().filter(|wanted| catalog.get(&wanted.pattern).is_none()).collect();
            missing.into_iter().try_for_each(|wanted| catalog.put(wanted.clone(), max).map(drop))
        })?;
        if !is_first_start {
            self.report_difference(seeds);
        }
        self.report_difference(preset);
        Ok(())
    }

    /// Says where the configured limits differ from the ones in force, which are the truth.
    pub(crate) fn report_difference(&self, configured: &[Definition]) {
        for wanted in configured {
            match self.find(&wanted.pattern) {
                Some(entry) if entry.wanted().definition == *wanted => {}
                Some(_) => {
                    tracing::warn!(key = %wanted.pattern, "the saved limit differs from the configured one, and is kept")
                }
                None => {
                    tracing::warn!(key = %wanted.pattern, "this limit is configured, but was not saved: it is not in force")
                }
            }
        }
    }

    fn change_blocking<T>(
        &self,
        edit: impl FnOnce(&mut Catalog, usize) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let before = self.catalog().clone();
        let mut changed = before.clone();
        let answer = edit(&mut changed, self.max_limits)?;
        if changed != before {
            if let Some(file) = &self.file {
                let not_saved = |error| RegistryError::NotSaved(format!("{}: {error}", file.path().display()));
                file.save(&changed).map_err(not_saved)?;
            }
            *self.catalog() = changed;
        }
        Ok(answer)
    }

    /// Changes are made on a copy, so that a panic in the midst of one leaves the definitions as they were.
    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many definitions the ledger has not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StandingCounts {
    /// Not yet, deleted ones that it may still follow among them.
    pub(crate) not_in_force: u64,
    /// Because it follows newer ones, made elsewhere.
    pub(crate) superseded: u64,
}

/// Writes how the entry stands with the ledger into it.
fn stand(standings: &Standings, entry: &mut Entry) {
    match standings.get(&entry.definition.pattern) {
        None => {}
        Some(Standing::Due { problem, .. }) => entry.not_in_force = Some(problem.clone()),
        Some(Standing::Superseded(version)) => entry.superseded_by_version = Some(*version),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_only_looks_does_not_wait_for_a_change() {
        let store = Arc::new(Store::in_memory(9));
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, ends) = mpsc::channel::<()>();
        let changer = Arc::clone(&store);
        let change = tokio::spawn(async move {
            let edit = move |_: &mut Catalog, _| {
                let _ = begun.send(());
                let _ = ends.recv_timeout(std::time::Duration::from_secs(5));
                Ok(())
            };
            changer.change(edit).await
        });
        has_begun.await.expect("it begins");
        assert_eq!(store.entries(), []);
        change.abort(); // As when the actor is killed: what was begun goes on.
        let mut settled = Box::pin(store.settled_entries());
        assert!(futures_util::poll!(&mut settled).is_pending());
        end.send(()).expect("it waits");
        assert_eq!(settled.await, []);
    }
}
