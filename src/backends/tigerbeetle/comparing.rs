//! Reading the log of a limit, and which definition holds: what the log says, or what this server wants there.

use std::sync::Arc;

use super::books::{Books, Trouble};
use super::definition_log::{self, Found, Origin, Standing};
use super::ids::TemplateTag;
use super::limit::Limit;
use super::opening::TRIES;
use super::retiring::Gone;
use super::step::{Precedence, Step, Wanted};
use crate::backends::Registered;
use crate::policy::Key;

/// What this server wants of a key.
pub(super) struct Demand {
    /// The first of its definitions that was not deleted elsewhere.
    pub(super) registered: Arc<Registered>,
    pub(super) wanted: Wanted,
    /// Of the one that comes before all others the version, if it was deleted elsewhere.
    pub(super) deleted: Option<u64>,
    /// The templates after it.
    behind: Vec<Arc<Registered>>,
}

/// What the ledger has of a limit, beside what this server wants there.
pub(super) struct Compared {
    pub(super) demand: Demand,
    pub(super) found: Found,
    /// What brings the one to the other.
    pub(super) step: Step,
}

impl Books {
    /// What this server wants of a key in whose log this version is deleted.
    pub(super) fn demand(&self, key: &Key, deleted_version: Option<u64>) -> Result<Demand, Trouble> {
        let mut definitions = self.limits.definitions_of(key).into_iter();
        let mut deleted = None;
        while let Some(registered) = definitions.next() {
            match self.wanted(&registered) {
                Ok(wanted) if !wanted.is_deleted(deleted_version) => {
                    return Ok(Demand { registered, wanted, deleted, behind: definitions.collect() });
                }
                Ok(_) => deleted = deleted.or(deleted_version),
                Err(version) => deleted = deleted.or(Some(version)),
            }
        }
        Err(Trouble::Deleted { key: key.clone(), version: deleted.unwrap_or_default() })
    }

    /// What is to be written to the log of a limit. What a template left there that was deleted since is taken out
    /// first: whoever deleted it need not have known of this instance.
    pub(super) async fn compare(&self, limit: &Limit) -> Result<Compared, Trouble> {
        for _ in 0..TRIES {
            let found = self.read_log(limit.hash).await?;
            let deleted_version = match found {
                Found::Limit(Standing { origin: Origin::Own, .. }) => None, // It was put again since.
                _ => found.deleted_version(),
            };
            let demand = self.demand(&limit.key, deleted_version)?;
            let precedence = match found {
                Found::Limit(Standing { origin, .. }) if origin == demand.wanted.origin => Precedence::Newer,
                Found::Limit(Standing { origin: Origin::Own, .. }) => Precedence::Found,
                Found::Limit(Standing { origin: Origin::Template(template), .. }) if self.yields(template, &demand) => {
                    Precedence::Wanted
                }
                Found::Limit(Standing { origin: Origin::Template(template), version, .. }) => {
                    match self.read_log(template.log()).await? {
                        Found::Nothing { deleted_version: Some(deleted), .. } if version <= deleted => {
                            self.retire(Gone::Instance { key: limit.hash, template }, deleted).await?;
                            continue;
                        }
                        _ => Precedence::Found,
                    }
                }
                Found::Nothing { .. } | Found::Garbled => Precedence::Newer,
            };
            let step = demand.wanted.next_step(&found, precedence);
            return Ok(Compared { demand, found, step });
        }
        Err(Trouble::Fault(format!("the templates of `{}` change faster than they can be followed", limit.key)))
    }

    /// Whether what a template made of a key makes room for this.
    fn yields(&self, template: TemplateTag, demand: &Demand) -> bool {
        let is_it = |other: &Arc<Registered>| self.chart.ids.template(&other.definition.pattern) == template;
        demand.wanted.origin == Origin::Own || demand.behind.iter().any(is_it)
    }

    /// What the ledger knows of a limit that this server need not have; changes nothing.
    pub(super) async fn standing(&self, hash: u128) -> Result<Option<Standing>, Trouble> {
        match self.read_log(hash).await? {
            Found::Limit(standing) => Ok(Some(standing)),
            Found::Nothing { .. } | Found::Garbled => Ok(None),
        }
    }

    pub(super) async fn read_log(&self, hash: u128) -> Result<Found, Trouble> {
        match definition_log::read(&self.last_entries(hash).await?) {
            Found::Garbled => {
                Err(Trouble::Fault("the ledger's log of this limit was not written by this release".to_owned()))
            }
            found => Ok(found),
        }
    }
}
