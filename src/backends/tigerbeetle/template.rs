//! Templates in the ledger: they have a log there, and no account. The newer of two servers' templates holds for the
//! limits of both.

use super::books::{Books, Trouble};
use super::definition_log::{Entry, Found, Manner, Origin};
use super::opening::{Entered, TRIES, entered};
use super::step::{Precedence, Step, Wanted};
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
        let (log, mut burned) = (self.chart.ids.template(pattern).log(), 0);
        for _ in 0..TRIES {
            let found = self.read_log(log).await?;
            let wanted = Wanted { origin: Origin::Own, ..self.own(registered) };
            let (seq, entry) = match (wanted.next_step(&found, Precedence::Newer), &found) {
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
            let chain = self.chart.entry(log, seq + burned, entry, found.deleted_version(), &wanted);
            let written = self.write_chain(Vec::new(), chain).await?;
            burned = if entered(&written)? == Entered::Burned { burned + 1 } else { 0 };
        }
        Err(Trouble::Fault(format!("the template `{pattern}` changes faster than it can be put in force")))
    }

    /// What is to be in force for limits of this definition: where another server has a newer template, that one. If
    /// another one deleted it: the version.
    pub(super) fn wanted(&self, registered: &Registered) -> Result<Wanted, u64> {
        let own = self.own(registered);
        match self.templates_elsewhere().get(&registered.definition.pattern) {
            Some(Elsewhere::Deleted { version }) if own.version <= *version => Err(*version),
            Some(Elsewhere::Newer(newer)) if own.version <= newer.version => {
                Ok(Wanted { origin: own.origin, ..*newer })
            }
            _ => Ok(own),
        }
    }

    /// What a definition of this server says.
    fn own(&self, registered: &Registered) -> Wanted {
        let Definition { kind, capacity, mode, overage, ref pattern, .. } = registered.definition;
        let template = pattern.is_template().then(|| self.chart.ids.template(pattern));
        let origin = template.map_or(Origin::Own, Origin::Template);
        Wanted { origin, kind, manner: Manner { mode, overage }, capacity, version: registered.version }
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
