//! Definitions that were taken out here, until the ledger knows it: it may be away for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::books::{Books, Trouble};
use super::limit::Limit;
use super::limits::Removed;
use crate::policy::KeyPattern;

/// So many limits are retired at once.
const AT_ONCE_MAX: usize = 64;

/// Limits whose retirement is still to be written, with the version of their definition.
type Waiting = HashMap<KeyPattern, (u64, Vec<Arc<Limit>>)>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Retiring(Mutex<Waiting>);

impl Books {
    /// What covers the key of a retired limit now may have asked the ledger before it knew: it asks again, and whoever
    /// waits for it need not wait until the log is read.
    fn begin_anew(&self, retired: &Limit) {
        if let Some(successor) = self.limits.with_hash(retired.hash) {
            successor.close();
            self.tell_freed(&successor);
        }
    }
}

impl Retiring {
    pub(super) fn put(&self, pattern: &KeyPattern, removed: Removed) {
        let limits = removed.limits.into_iter().map(|(limit, _)| limit);
        self.lock().entry(pattern.clone()).or_insert((removed.version, Vec::new())).1.extend(limits);
    }

    /// Whether something of it is still to be written.
    pub(super) fn has(&self, pattern: &KeyPattern) -> bool {
        self.lock().contains_key(pattern)
    }

    /// It is defined again: its limits go on.
    pub(super) fn forget(&self, pattern: &KeyPattern) {
        self.lock().remove(pattern);
    }

    /// Writes what is still to be written. What was not done stays for the next time.
    pub(super) async fn carry_out(&self, books: &Books, pattern: &KeyPattern) -> Result<(), Trouble> {
        let version = self.lock().get(pattern).map(|(version, _)| *version);
        if let Some(version) = version.filter(|_| pattern.is_template()) {
            // First: of its limits other servers make none anew then.
            books.retire(books.chart.ids.pattern(pattern), version, false).await?;
        }
        loop {
            let next = self
                .lock()
                .get(pattern)
                .map(|(version, limits)| (*version, limits.iter().take(AT_ONCE_MAX).cloned().collect::<Vec<_>>()));
            let Some((version, limits)) = next else { return Ok(()) };
            if limits.is_empty() {
                self.forget(pattern);
                return Ok(());
            }
            let mut writing: FuturesUnordered<_> = limits
                .iter()
                .map(|limit| async move { (limit, books.retire(limit.hash, version, true).await) })
                .collect();
            while let Some((limit, retired)) = writing.next().await {
                retired?;
                books.begin_anew(limit);
                if let Some((_, limits)) = self.lock().get_mut(pattern) {
                    limits.retain(|other| !Arc::ptr_eq(other, limit));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().expect("nothing under this lock panics but a broken invariant")
    }
}
