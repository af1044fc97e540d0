//! The line in front of one limit: whose turn it is. First come, first served inside a priority; tenants take turns
//! (weighted round robin); a priority that has waited long enough is served before fresh calls of a higher one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::lease::Label;
use super::moment::Moment;
use super::priority::Priority;

/// The order of arrival at any line: smaller came first, and keeps its place when it moves from one line to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What decides a waiter's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its order of arrival.
    pub ticket: Ticket,
    /// When it arrived.
    pub joined_at: Moment,
    /// How urgent it is.
    pub priority: Priority,
    /// For whom it waits; calls without a tenant take turns as one.
    pub tenant: Option<Label>,
}

/// How turns are dealt.
#[derive(Clone, Debug)]
pub struct Turns {
    /// A call is served as if it had arrived this much later for each step of priority below `high`.
    pub aging: Duration,
    /// How many calls a tenant is served per round; 1 for one that is not named.
    pub tenant_weights: HashMap<Label, u32>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { aging: Duration::from_secs(30), tenant_weights: HashMap::new() }
    }
}

impl Turns {
    pub(super) fn weight(&self, tenant: Option<&Label>) -> u32 {
        tenant.and_then(|tenant| self.tenant_weights.get(tenant)).copied().unwrap_or(1).max(1)
    }

    /// The order in which priorities are served: by age, where each step below `high` makes a call younger.
    pub(super) fn as_if_joined(&self, joined_at: Moment, priority: Priority) -> (Moment, Priority) {
        let steps = match priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        (joined_at.after(self.aging.saturating_mul(steps)), priority)
    }

    fn served_as_if_joined(&self, candidate: &Candidate) -> (Moment, Priority) {
        self.as_if_joined(candidate.joined_at, candidate.priority)
    }
}

/// The calls of one priority.
#[derive(Debug)]
struct Class<T> {
    /// The tenants that wait, the one whose turn it is first.
    rotation: VecDeque<Option<Label>>,
    waiting: HashMap<Option<Label>, BTreeMap<Ticket, (Candidate, T)>>,
    /// How many more calls of the first tenant are served before it is the next one's turn.
    turns_left: u32,
}

impl<T> Default for Class<T> {
    fn default() -> Self {
        Self { rotation: VecDeque::new(), waiting: HashMap::new(), turns_left: 0 }
    }
}

impl<T> Class<T> {
    fn head(&self) -> Option<(&Candidate, &T)> {
        let waiting = self.waiting.get(self.rotation.front()?)?;
        waiting.first_key_value().map(|(_, (candidate, waiter))| (candidate, waiter))
    }

    /// The one that came first, whoever's turn it is.
    fn oldest(&self) -> Option<&Candidate> {
        let firsts = self.waiting.values().filter_map(BTreeMap::first_key_value);
        firsts.min_by_key(|(ticket, _)| **ticket).map(|(_, (candidate, _))| candidate)
    }

    fn insert(&mut self, candidate: Candidate, waiter: T, turns: &Turns) {
        let tenant = candidate.tenant.clone();
        if !self.waiting.contains_key(&tenant) {
            if self.rotation.is_empty() {
                self.turns_left = turns.weight(tenant.as_ref());
            }
            self.rotation.push_back(tenant.clone());
        }
        let replaced = self.waiting.entry(tenant).or_default().insert(candidate.ticket, (candidate, waiter));
        assert!(replaced.is_none(), "a ticket stands in a line once");
    }

    /// `served` says whether it leaves because it had its turn.
    fn remove(&mut self, tenant: &Option<Label>, ticket: Ticket, served: bool, turns: &Turns) -> Option<T> {
        let waiting = self.waiting.get_mut(tenant)?;
        let (_, waiter) = waiting.remove(&ticket)?;
        let left = waiting.len();
        let has_turn = self.rotation.front() == Some(tenant);
        if left == 0 {
            self.waiting.remove(tenant);
            self.rotation.retain(|other| other != tenant);
        }
        if has_turn {
            self.turns_left = self.turns_left.saturating_sub(u32::from(served));
            if left != 0 && self.turns_left == 0 {
                self.rotation.rotate_left(1);
            }
            if left == 0 || self.turns_left == 0 {
                self.turns_left = self.rotation.front().map_or(0, |next| turns.weight(next.as_ref()));
            }
        }
        Some(waiter)
    }
}

/// The waiters of one limit.
#[derive(Debug)]
pub struct Line<T> {
    classes: BTreeMap<Priority, Class<T>>,
    len: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { classes: BTreeMap::new(), len: 0 }
    }
}

impl<T> Line<T> {
    /// How many wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes `candidate` in, at the place its ticket gives it among its tenant's calls.
    pub fn join(&mut self, candidate: Candidate, waiter: T, turns: &Turns) {
        self.classes.entry(candidate.priority).or_default().insert(candidate, waiter, turns);
        self.len += 1;
    }

    /// Whose turn it is.
    #[must_use]
    pub fn head(&self, turns: &Turns) -> Option<(&Candidate, &T)> {
        self.class_to_serve(turns)?.head()
    }

    /// Whether `candidate` would be served before the one whose turn it is.
    #[must_use]
    pub fn would_lead(&self, candidate: &Candidate, turns: &Turns) -> bool {
        let Some(class) = self.class_to_serve(turns) else { return true };
        let Some((head, _)) = class.head() else { return true };
        if head.priority == candidate.priority {
            return head.tenant == candidate.tenant && candidate.ticket < head.ticket;
        }
        let oldest = class.oldest().map(|oldest| turns.served_as_if_joined(oldest));
        oldest.is_none_or(|oldest| turns.served_as_if_joined(candidate) < oldest)
    }

    /// A class is as old as its oldest: whose turn it is inside it may be somebody who has just come.
    fn class_to_serve(&self, turns: &Turns) -> Option<&Class<T>> {
        if self.classes.len() <= 1 {
            return self.classes.values().next(); // The usual case, without looking at every tenant.
        }
        self.classes.values().min_by_key(|class| class.oldest().map(|oldest| turns.served_as_if_joined(oldest)))
    }

    /// Takes out the one with this ticket, because it had its turn.
    pub fn serve(&mut self, candidate: &Candidate, turns: &Turns) -> Option<T> {
        self.remove(candidate, true, turns)
    }

    /// Takes out the one with this ticket, because it leaves.
    pub fn leave(&mut self, candidate: &Candidate, turns: &Turns) -> Option<T> {
        self.remove(candidate, false, turns)
    }

    fn remove(&mut self, candidate: &Candidate, served: bool, turns: &Turns) -> Option<T> {
        let class = self.classes.get_mut(&candidate.priority)?;
        let waiter = class.remove(&candidate.tenant, candidate.ticket, served, turns)?;
        if class.rotation.is_empty() {
            assert!(class.waiting.is_empty(), "a tenant that waits has its turn to come");
            self.classes.remove(&candidate.priority);
        }
        self.len -= 1;
        Some(waiter)
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
