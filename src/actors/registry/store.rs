//! Where the definitions are kept: in memory, and in a file if there is a data directory. It outlives the actor.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog::{Catalog, Entry, RegistryError};
use super::file::{RegistryFile, StoreError};
use crate::policy::{Definition, KeyPattern};

/// The definitions of one runtime.
#[derive(Debug)]
pub(crate) struct Store {
    file: Option<RegistryFile>,
    catalog: Mutex<Catalog>,
    max_limits: usize,
}

impl Store {
    /// Definitions that are lost when the process ends.
    #[must_use]
    pub(crate) fn in_memory(max_limits: usize) -> Self {
        Self { file: None, catalog: Mutex::default(), max_limits }
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
        Ok(Self { file: Some(file), catalog: Mutex::new(catalog), max_limits })
    }

    /// Lets another tollgate use the file, once the last change is over. None may follow.
    pub(crate) fn close(&self) {
        let _last_change = self.catalog.lock().expect("changes are made on a copy");
        if let Some(file) = &self.file {
            file.unlock();
        }
    }

    /// The definitions as they are.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.catalog().entries().cloned().collect()
    }

    /// One definition.
    pub(crate) fn find(&self, pattern: &KeyPattern) -> Option<Entry> {
        self.catalog().get(pattern).cloned()
    }

    /// Changes the definitions, on disk first. Runs where blocking is allowed: it waits for the disk, under the lock, so
    /// that a change whose actor was killed is over before the next one begins.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        edit: impl FnOnce(&mut Catalog, usize) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let store = Arc::clone(self);
        let changed = tokio::task::spawn_blocking(move || store.change_blocking(edit)).await;
        changed
            .map_err(|error| RegistryError::Unavailable(format!("the change was cut short ({error}); send it again")))?
    }

    /// Takes the configured limits in if there are none yet; else reports how they differ from what was saved.
    pub(crate) fn seed(&self, seeds: Vec<Definition>) -> Result<(), RegistryError> {
        let saved = self.entries();
        if saved.is_empty() {
            return self.change_blocking(|catalog, max| {
                seeds.into_iter().try_for_each(|seed| catalog.put(seed, max).map(drop))
            });
        }
        self.report_difference(&seeds);
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
        let mut catalog = self.catalog();
        let mut changed = catalog.clone();
        let answer = edit(&mut changed, self.max_limits)?;
        if changed != *catalog {
            if let Some(file) = &self.file {
                let not_saved = |error| RegistryError::NotSaved(format!("{}: {error}", file.path().display()));
                file.save(&changed).map_err(not_saved)?;
            }
            *catalog = changed;
        }
        Ok(answer)
    }
    /// Changes are made on a copy, so that a panic in the midst of one leaves the definitions as they were.
    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
