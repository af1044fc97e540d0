//! Definitions that were taken out here, until the ledger knows it: it may be away for long. Every step can be done
//! again: it takes out what the definition made, and nothing that is newer or of another one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::books::{Books, Trouble};
use super::definition_log::{Found, Origin};
use super::ids::TemplateTag;
use super::limit::Limit;
use super::opening::{Entered, TRIES, entered};
use crate::policy::KeyPattern;

/// So many limits are retired at once.
const AT_ONCE_MAX: usize = 64;

/// What is to be taken out of the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gone {
    /// A limit with a definition of its own.
    Limit {
        key: u128,
    },
    Template(TemplateTag),
    /// What a template made of a key.
    Instance {
        key: u128,
        template: TemplateTag,
    },
}

impl Gone {
    /// The log that says so.
    fn log(self) -> u128 {
        match self {
            Self::Limit { key } | Self::Instance { key, .. } => key,
            Self::Template(template) => template.log(),
        }
    }

    /// Whose entries of that log are meant.
    fn origin(self) -> Origin {
        match self {
            Self::Limit { .. } | Self::Template(_) => Origin::Own,
            Self::Instance { template, .. } => Origin::Template(template),
        }
    }
}

/// Limits that may still be in the ledger, by the definition they followed and by what stands for their keys.
type Waiting = HashMap<KeyPattern, BTreeMap<u128, Arc<Limit>>>;

/// Those whose definitions were taken out.
#[derive(Debug, Default)]
pub(super) struct Retiring(Mutex<Waiting>);

impl Books {
    /// Takes out what is of this version or an older one: what it holds ends as it would have, and a limit defined anew
    /// knows nothing of it. Says up to which version the log's own definition is deleted then: what is newer stays.
    pub(super) async fn retire(&self, gone: Gone, version: u64) -> Result<Option<u64>, Trouble> {
        let (log, mut burned) = (gone.log(), 0);
        for _ in 0..TRIES {
            let found = self.read_log(log).await?;
            let deleted_before = found.deleted_version();
            let deleted = match gone {
                Gone::Limit { .. } | Gone::Template(_) => deleted_before.max(Some(version)),
                Gone::Instance { .. } => deleted_before,
            };
            let (seq, drain) = match found {
                Found::Limit(standing) if standing.origin == gone.origin() && standing.version <= version => {
                    // A template has no account.
                    let has_account = !matches!(gone, Gone::Template(_));
                    (standing.seq, has_account.then(|| self.drain(log, &standing)))
                }
                // It is not there yet: so it comes too late.
                Found::Nothing { seq, .. } if deleted_before < deleted => (seq, None),
                _ => return Ok(deleted_before),
            };
            let retirement = self.chart.retirement(log, seq + 1 + burned, deleted);
            let chain = std::iter::once(retirement).chain(drain).collect();
            match entered(&self.write_chain(Vec::new(), chain).await?)? {
                Entered::Written => return Ok(deleted),
                Entered::Burned => burned += 1,
                Entered::TooLate | Entered::NotFree => burned = 0,
            }
        }
        Err(Trouble::Fault("the limit changes faster than it can be deleted".to_owned()))
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
    /// Those that followed a definition which is taken out now.
    pub(super) fn put(&self, pattern: &KeyPattern, limits: impl Iterator<Item = Arc<Limit>>) {
        let mut retiring = self.lock();
        retiring.entry(pattern.clone()).or_default().extend(limits.map(|limit| (limit.hash, limit)));
    }

    /// It is defined again: its limits go on.
    pub(super) fn forget(&self, pattern: &KeyPattern) {
        self.lock().remove(pattern);
    }

    /// Writes what is still to be written of a definition that was deleted with this version. What was not done stays
    /// for the next time. Instances that are not known here are taken out by whoever meets them.
    pub(super) async fn carry_out(&self, books: &Books, pattern: &KeyPattern, version: u64) -> Result<(), Trouble> {
        let ids = books.chart.ids;
        let (gone, template) = match pattern.as_key() {
            Some(key) => (Gone::Limit { key: ids.key(&key) }, None),
            None => {
                let template = ids.template(pattern);
                (Gone::Template(template), Some(template))
            }
        };
        let deleted = books.retire(gone, version).await?; // First: of a template other servers make none anew then.
        loop {
            let next = self.lock().get(pattern).map(|limits| limits.values().take(AT_ONCE_MAX).cloned().collect());
            let limits: Vec<Arc<Limit>> = next.unwrap_or_default();
            if limits.is_empty() {
                self.forget(pattern);
                return Ok(());
            }
            let retire = async |limit: Arc<Limit>| {
                if let (Some(template), Some(version)) = (template, deleted) {
                    books.retire(Gone::Instance { key: limit.hash, template }, version).await?;
                }
                Ok::<_, Trouble>(limit)
            };
            let mut retired: FuturesUnordered<_> = limits.into_iter().map(retire).collect();
            while let Some(limit) = retired.next().await.transpose()? {
                books.begin_anew(&limit);
                if let Some(limits) = self.lock().get_mut(pattern) {
                    limits.remove(&limit.hash);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().expect("nothing under this lock panics but a broken invariant")
    }
}
