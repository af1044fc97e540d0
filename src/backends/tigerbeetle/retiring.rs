//! Definitions that were taken out here, until the ledger knows it: it may be away for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::books::{Books, Trouble};
use super::definition_log::Found;
use super::limit::Limit;
use super::limits::Removed;
use super::opening::{Entered, TRIES, entered};
use crate::policy::KeyPattern;

/// So many limits are retired at once.
const AT_ONCE_MAX: usize = 64;

/// How a limit is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retire {
    /// Of the definition that was deleted.
    version: u64,
    /// A template has none.
    has_account: bool,
    /// What another server made newer meanwhile stays.
    spares_newer: bool,
}

/// What is still to be written of one definition.
#[derive(Debug)]
struct Leaving {
    version: u64,
    /// The limits that followed it.
    limits: Vec<Arc<Limit>>,
    /// Of a template, its own log says so: not once more, because it may have been defined again.
    is_template_retired: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Retiring(Mutex<HashMap<KeyPattern, Leaving>>);

impl Books {
    /// Takes a limit out: what it holds ends as it would have, and a limit defined anew knows nothing of it. Says with
    /// which version it is deleted.
    async fn retire(&self, hash: u128, retire: Retire) -> Result<u64, Trouble> {
        let Retire { version, has_account, spares_newer } = retire;
        let mut burned = 0;
        for _ in 0..TRIES {
            let found = self.read_log(hash).await?;
            let standing = match found {
                Found::Limit(standing) if !spares_newer || standing.version <= version => standing,
                _ => return Ok(found.deleted_version().map_or(version, |deleted| deleted.max(version))),
            };
            let (seq, deleted) = (standing.seq + 1 + burned, version.max(standing.version));
            let mut chain = vec![self.chart.retirement(hash, seq, deleted)];
            if has_account {
                chain.push(self.drain(hash, &standing));
            }
            match entered(&self.write_chain(Vec::new(), chain).await?)? {
                Entered::Written => return Ok(deleted),
                Entered::Burned => burned += 1,
                Entered::TooLate | Entered::NotFree => burned = 0,
            }
        }
        Err(Trouble::Fault("the limit changes faster than it can be deleted".to_owned()))
    }

    /// The same for a definition that an earlier process was to take out: this one does not know its limits.
    pub(super) async fn retire_unless_newer(&self, pattern: &KeyPattern, version: u64) -> Result<(), Trouble> {
        let key = pattern.as_key();
        let hash = key.as_ref().map_or_else(|| self.chart.ids.pattern(pattern), |key| self.chart.ids.key(key));
        let retire = Retire { version, has_account: key.is_some(), spares_newer: true };
        self.retire(hash, retire).await.map(drop)
    }

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
        let leaving = Leaving { version: removed.version, limits: Vec::new(), is_template_retired: false };
        self.lock().entry(pattern.clone()).or_insert(leaving).limits.extend(limits);
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
        if pattern.is_template() {
            self.retire_template(books, pattern).await?; // First: of its limits other servers make none anew then.
        }
        loop {
            let next = self.lock().get(pattern).map(|leaving| {
                let limits: Vec<_> = leaving.limits.iter().take(AT_ONCE_MAX).cloned().collect();
                (leaving.version, limits)
            });
            let Some((version, limits)) = next else { return Ok(()) };
            if limits.is_empty() {
                self.forget(pattern);
                return Ok(());
            }
            let retire = Retire { version, has_account: true, spares_newer: pattern.is_template() };
            let mut writing: FuturesUnordered<_> =
                limits.iter().map(|limit| async move { (limit, books.retire(limit.hash, retire).await) }).collect();
            while let Some((limit, retired)) = writing.next().await {
                retired?;
                books.begin_anew(limit);
                if let Some(leaving) = self.lock().get_mut(pattern) {
                    leaving.limits.retain(|other| !Arc::ptr_eq(other, limit));
                }
            }
        }
    }

    async fn retire_template(&self, books: &Books, pattern: &KeyPattern) -> Result<(), Trouble> {
        let due =
            self.lock().get(pattern).filter(|leaving| !leaving.is_template_retired).map(|leaving| leaving.version);
        let Some(version) = due else { return Ok(()) };
        let retire = Retire { version, has_account: false, spares_newer: false };
        let deleted = books.retire(books.chart.ids.pattern(pattern), retire).await?;
        if let Some(leaving) = self.lock().get_mut(pattern) {
            (leaving.version, leaving.is_template_retired) = (deleted, true);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyPattern, Leaving>> {
        self.0.lock().expect("nothing under this lock panics but a broken invariant")
    }
}
