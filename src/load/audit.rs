//! The check of a whole run: each limit's grants, against what it promises.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::history::Admitted;
use super::listing::Listed;
use super::tally::millis;
use super::verify::{Charge, Rule, over_admissions};
use super::workload::Workload;
use crate::policy::{Key, KeyPattern, Moment};

const CHANGED: &str = "it was changed during the run";
const UNREAD: &str = "nobody says whether it is still the same";
const NOT_IN_FORCE: &str = "its definition is not in force";

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// How many grants came although those before them certainly left no room.
    pub(crate) over_admissions: u64,
    /// How many grants were looked at.
    pub(crate) reserves_checked: u64,
    /// How many limits they took from, but for those that are not checked.
    pub(crate) limits_checked: u64,
    /// Grants beyond the bound of the history, which were not looked at.
    pub(crate) reserves_unrecorded: u64,
    /// Definitions of which nothing can be said, and why.
    pub(crate) not_checked: BTreeMap<String, &'static str>,
    /// The limit that was exceeded the most.
    pub(crate) worst: Option<WorstLimit>,
}

/// A limit that let in too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WorstLimit {
    pub(crate) key: String,
    pub(crate) capacity: u64,
    /// What was certainly taken of it at once.
    pub(crate) taken: u128,
    /// When, since the begin of the load.
    pub(crate) at_ms: u64,
}

impl Audit {
    /// Whether all grants were looked at, and nothing was found.
    pub(crate) fn is_passed(&self) -> bool {
        self.over_admissions == 0 && self.is_whole()
    }

    /// Whether all grants were looked at, of at least one limit.
    pub(crate) fn is_whole(&self) -> bool {
        self.reserves_unrecorded == 0 && self.limits_checked != 0
    }
}

/// Checks all that was granted. `after` are the definitions as they were when the load had ended, if that can be told.
pub(super) fn audit(workload: &Workload, after: Option<&[Listed]>, admitted: &[Admitted], begin: Moment) -> Audit {
    let rules = rules(&workload.definitions, after);
    let newcomers = newcomers(&workload.definitions, after.unwrap_or_default());
    let is_covered_anew = |key: &Key| newcomers.iter().any(|pattern| pattern.matches(key.as_str()));
    let reserves_checked = u64::try_from(admitted.len()).unwrap_or(u64::MAX);
    let mut audit = Audit { reserves_checked, ..Audit::default() };
    for (number, places) in by_limit(workload, admitted).into_iter().enumerate() {
        let limit = &workload.limits[number];
        if places.is_empty() {
            continue;
        }
        let rule = if is_covered_anew(&limit.key) { Err(CHANGED) } else { rules[limit.definition] };
        match rule {
            Err(why) => {
                let pattern = &workload.definitions[limit.definition].definition.pattern;
                audit.not_checked.insert(pattern.to_string(), why);
            }
            Ok(rule) => {
                let charges = places.into_iter().map(|place| charge(workload, &admitted[place as usize], number, rule));
                let finding = over_admissions(rule, &charges.collect::<Vec<_>>());
                audit.limits_checked += 1;
                audit.over_admissions += finding.over_admissions;
                let worst = finding.worst.filter(|worst| audit.exceeds(worst.taken, rule.capacity));
                if let Some(worst) = worst {
                    let at_ms = millis(worst.at.since(begin));
                    let (key, capacity, taken) = (limit.key.to_string(), rule.capacity, worst.taken);
                    audit.worst = Some(WorstLimit { key, capacity, taken, at_ms });
                }
            }
        }
    }
    audit
}

impl Audit {
    /// Whether so much of a limit is worse than the worst, as a part of its capacity.
    fn exceeds(&self, taken: u128, capacity: u64) -> bool {
        let Some(worst) = &self.worst else { return true };
        taken.saturating_mul(worst.capacity.into()) > worst.taken.saturating_mul(capacity.into())
    }
}

/// What each definition promises, if it was the same all the time.
fn rules(before: &[Listed], after: Option<&[Listed]>) -> Vec<Result<Rule, &'static str>> {
    let Some(after) = after else { return vec![Err(UNREAD); before.len()] };
    let after: HashMap<_, _> = after.iter().map(|listed| (listed.definition.pattern.as_str(), listed)).collect();
    let rule = |listed: &Listed| {
        if !listed.is_in_force {
            return Err(NOT_IN_FORCE);
        }
        let is_same = after.get(listed.definition.pattern.as_str()).is_some_and(|later| *later == listed);
        if is_same { Rule::of(&listed.definition) } else { Err(CHANGED) }
    };
    before.iter().map(rule).collect()
}

/// Definitions made during the run: one may have taken a limit over.
fn newcomers<'a>(before: &[Listed], after: &'a [Listed]) -> Vec<&'a KeyPattern> {
    let known: HashSet<_> = before.iter().map(|listed| listed.definition.pattern.as_str()).collect();
    let patterns = after.iter().map(|listed| &listed.definition.pattern);
    patterns.filter(|pattern| !known.contains(pattern.as_str())).collect()
}

/// Where the grants of each limit stand.
fn by_limit(workload: &Workload, admitted: &[Admitted]) -> Vec<Vec<u32>> {
    let mut places = vec![Vec::new(); workload.limits.len()];
    for (place, admitted) in admitted.iter().enumerate() {
        let place = u32::try_from(place).expect("a history has fewer records");
        workload.shares(admitted.call, 0).for_each(|share| places[share.limit].push(place));
    }
    places
}

fn charge(workload: &Workload, admitted: &Admitted, limit: usize, rule: Rule) -> Charge {
    let used = admitted.completion.map_or(0, |completion| completion.used);
    let share = workload.shares(admitted.call, used).find(|share| share.limit == limit);
    let share = share.expect("the grant was found by this limit");
    let returned = if rule.frees_all { share.amount } else { share.amount - share.used };
    Charge {
        sent: admitted.sent,
        answered: admitted.answered,
        amount: share.amount,
        returned: admitted.completion.map(|completion| (completion.sent, returned)),
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
