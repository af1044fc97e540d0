//! Reading the log of a limit, and which definition holds: what the log says, or what this server wants there.

use std::sync::Arc;

use super::books::{Books, Trouble};
use super::definition_log::{self, Found, Origin, Standing};
use super::limit::Limit;
use super::opening::TRIES;
use super::retiring::Gone;
use super::step::{Precedence, Step, Wanted};
use crate::backends::Registered;

/// What the ledger has of a limit, beside what this server wants there.
pub(super) struct Compared {
    pub(super) registered: Arc<Registered>,
    pub(super) wanted: Wanted,
    pub(super) found: Found,
    /// What brings the one to the other.
    pub(super) step: Step,
}

impl Books {
    /// What is to be written to the log of a limit. What a template left there that was deleted since is taken out
    /// first: whoever deleted it need not have known of this instance.
    pub(super) async fn compare(&self, limit: &Limit) -> Result<Compared, Trouble> {
        for _ in 0..TRIES {
            let found = self.read_log(limit.hash).await?;
            let registered = limit.registered();
            let wanted = self.wanted(&registered)?;
            let precedence = match found {
                Found::Limit(Standing { origin: Origin::Template(template), version, .. })
                    if wanted.origin != Origin::Template(template) =>
                {
                    let goes_first = match wanted.origin {
                        Origin::Own => !wanted.is_deleted(found.deleted_version()),
                        // Of two that this server has, it takes the one that says more of a key.
                        Origin::Template(_) => self.limits.template(template).is_some(),
                    };
                    if goes_first {
                        Precedence::Wanted
                    } else {
                        match self.read_log(template.log()).await? {
                            Found::Nothing { deleted_version: Some(deleted), .. } if version <= deleted => {
                                self.retire(Gone::Instance { key: limit.hash, template }, deleted).await?;
                                continue;
                            }
                            _ => Precedence::Found,
                        }
                    }
                }
                Found::Limit(standing) if standing.origin != wanted.origin => Precedence::Found,
                _ => Precedence::Newer,
            };
            let step = wanted.next_step(&found, precedence);
            return Ok(Compared { registered, wanted, found, step });
        }
        Err(Trouble::Fault(format!("the templates of `{}` change faster than they can be followed", limit.key)))
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
