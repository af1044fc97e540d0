//! Templates in the ledger: they have a log there, and no account. The newer of two servers' templates holds for the
//! limits of both.

use super::books::{Books, Trouble};
use super::definition_log::{Entry, Found, Manner, Step, Wanted, next_step};
use super::opening::{Entered, TRIES, entered};
use crate::backends::Registered;
use crate::policy::{Definition, KeyPattern};

/// What another server made of a template that this one has in an older version.
#[derive(Clone, Copy, Debug)]
pub(super) enum Elsewhere {
    Newer(Wanted),
    Deleted { version: u64 },
}

impl Books {
    /// Writes a template to the ledger, where it has a log and no account; says which newer version is there, if any.
    pub(super) async fn bring_template_up_to_date(&self, registered: &Registered) -> Result<Option<u64>, Trouble> {
        let pattern = &registered.definition.pattern;
        let (hash, mut burned) = (self.chart.ids.pattern(pattern), 0);
        for _ in 0..TRIES {
            let found = self.read_log(hash).await?;
            let wanted = Wanted { is_exact: true, ..own(registered) };
            let (seq, entry) = match (next_step(&found, &wanted), &found) {
                (Step::Keep, _) => {
                    self.follow_template(pattern, None);
                    return Ok(None);
                }
                (Step::Superseded { version }, found) => {
                    let elsewhere = match found {
                        Found::Limit(standing) => Elsewhere::Newer(standing.wanted()),
                        Found::Nothing { .. } | Found::Garbled => Elsewhere::Deleted { version },
                    };
                    self.follow_template(pattern, Some(elsewhere));
                    return Ok(Some(version));
                }
                (Step::Begin { seq }, _) => (seq, Entry::Begin),
                (Step::Change { seq, .. } | Step::Lower { seq, .. }, Found::Limit(standing)) => {
                    (seq, Entry::Change { generation: standing.generation })
                }
                (step, _) => unreachable!("{step:?} is of a template that was found"),
            };
            let chain = self.chart.entry(hash, seq + burned, entry, &found, &wanted);
            let written = self.write_chain(Vec::new(), chain).await?;
            burned = if entered(&written)? == Entered::Burned { burned + 1 } else { 0 };
        }
        Err(Trouble::Fault(format!("the template `{pattern}` changes faster than it can be put in force")))
    }

    /// What is to be in force for limits of this definition: where another server has a newer template, that one.
    pub(super) fn wanted(&self, registered: &Registered) -> Result<Wanted, Trouble> {
        let own = own(registered);
        match self.templates_elsewhere().get(&registered.definition.pattern) {
            Some(Elsewhere::Deleted { version }) if own.version <= *version => {
                Err(Trouble::Deleted { version: *version })
            }
            Some(Elsewhere::Newer(newer)) if own.version <= newer.version => Ok(Wanted { is_exact: false, ..*newer }),
            _ => Ok(own),
        }
    }

    /// Notes what another server made of a template, or that it is as it is here.
    pub(super) fn follow_template(&self, pattern: &KeyPattern, elsewhere: Option<Elsewhere>) {
        let mut templates = self.templates_elsewhere();
        match elsewhere {
            Some(elsewhere) => drop(templates.insert(pattern.clone(), elsewhere)),
            None => drop(templates.remove(pattern)),
        }
    }
}

/// What a definition of this server says.
fn own(registered: &Registered) -> Wanted {
    let Definition { kind, capacity, mode, overage, ref pattern, .. } = registered.definition;
    let (manner, version) = (Manner { mode, overage }, registered.version);
    Wanted { kind, manner, capacity, version, is_exact: !pattern.is_template() }
}
