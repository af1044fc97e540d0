//! Templates in the ledger: they have a log there, and no account. The newer of two servers' templates holds for the
//! limits of both.

use super::books::{Books, Trouble};
use super::definition_log::{Entry, Found, Step, Wanted, next_step};
use super::opening::{Entered, TRIES, entered};
use crate::backends::Registered;
use crate::policy::{Definition, KeyPattern};

impl Books {
    /// Writes a template to the ledger, where it has a log and no account; says which newer version is there, if any.
    pub(super) async fn bring_template_up_to_date(&self, registered: &Registered) -> Result<Option<u64>, Trouble> {
        let pattern = &registered.definition.pattern;
        let (hash, mut burned) = (self.chart.ids.pattern(pattern), 0);
        for _ in 0..TRIES {
            let found = self.read_log(hash).await?;
            let wanted = Wanted { is_exact: true, ..own(registered) };
            let (seq, entry) = match (next_step(&found, &wanted), found) {
                (Step::Keep, _) => {
                    self.follow_template(pattern, None);
                    return Ok(None);
                }
                (Step::Superseded { version }, found) => {
                    let newer = if let Found::Limit(standing) = found { Some(standing.wanted()) } else { None };
                    self.follow_template(pattern, newer);
                    return Ok(Some(version));
                }
                (Step::Begin { seq }, _) => (seq, Entry::Begin),
                (Step::Change { seq, .. } | Step::Lower { seq, .. }, Found::Limit(standing)) => {
                    (seq, Entry::Change { generation: standing.generation })
                }
                (step, _) => unreachable!("{step:?} is of a template that was found"),
            };
            let chain = self.chart.entry(hash, seq + burned, entry, &wanted);
            let written = self.write_chain(Vec::new(), chain).await?;
            burned = if entered(&written)? == Entered::Burned { burned + 1 } else { 0 };
        }
        Err(Trouble::Fault(format!("the template `{pattern}` changes faster than it can be put in force")))
    }

    /// What is to be in force for limits of this definition: where another server has a newer template, that one.
    pub(super) fn wanted(&self, registered: &Registered) -> Wanted {
        let own = own(registered);
        let newer = self.newer_templates().get(&registered.definition.pattern).copied();
        let is_of_kind = |newer: &Wanted| newer.kind.name() == own.kind.name() && own.version <= newer.version;
        newer.filter(is_of_kind).map_or(own, |newer| Wanted { is_exact: false, ..newer })
    }

    fn follow_template(&self, pattern: &KeyPattern, newer: Option<Wanted>) {
        let mut templates = self.newer_templates();
        match newer {
            Some(newer) => drop(templates.insert(pattern.clone(), newer)),
            None => drop(templates.remove(pattern)),
        }
    }
}

/// What a definition of this server says.
fn own(registered: &Registered) -> Wanted {
    let Definition { kind, capacity, ref pattern, .. } = registered.definition;
    Wanted { kind, capacity, version: registered.version, is_exact: !pattern.is_template() }
}
