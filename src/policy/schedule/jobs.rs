//! All jobs of a schedule that have not ended, found by their ids.

use slab::Slab;

use super::class::Place;
use super::job::{JobSpec, Scheduled};
use super::queue::Pause;
use super::step::Deferral;
use crate::policy::lease::{Label, LeaseId};
use crate::policy::moment::Moment;
use crate::policy::place_index::PlaceIndex;

/// A table for fewer jobs is not worth giving back.
const BURST_MIN: usize = 4_096;

/// One job.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) job: T,
    pub(super) place: Place,
    pub(super) queue: u32,
    pub(super) state: State,
    /// How many attempts it has made, each under a lease id of its own.
    pub(super) attempts: u32,
    /// How many answers in a row left it unknown whether it was granted.
    pub(super) unknowns: u32,
    /// Perhaps granted: the next attempt is made under the same id.
    pub(super) in_doubt: Option<LeaseId>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It stands in its queue.
    Waiting,
    /// An attempt to reserve for it is under way; nobody wants it any more if it is cancelled.
    Reserving { is_cancelled: bool },
    /// It was granted what it needs.
    Running,
}

impl<T: Scheduled> Entry<T> {
    /// Notes why an attempt was in vain; says until when nobody else of its queue need try.
    pub(super) fn learn(&mut self, deferral: Deferral, now: Moment) -> Pause {
        let (after, at_least) = match deferral {
            Deferral::SameLease { lease_id, after } => {
                (self.in_doubt, self.unknowns) = (Some(lease_id), self.unknowns.saturating_add(1));
                (after, after)
            }
            Deferral::NewLease { after, at_least } => {
                (self.in_doubt, self.unknowns) = (None, 0);
                (after, at_least.min(after))
            }
        };
        Pause { until: now.after(after), at_least_until: now.after(at_least) }
    }

    /// Whether it may make no other attempt.
    pub(super) fn is_exhausted(&self) -> bool {
        let attempts_max = self.job.spec().attempts_max;
        self.in_doubt.is_none() && attempts_max.is_some_and(|max| max.get() <= self.attempts)
    }
}

#[derive(Debug)]
pub(super) struct Jobs<T> {
    entries: Slab<Entry<T>>,
    by_id: PlaceIndex,
}

impl<T: Scheduled> Jobs<T> {
    pub(super) fn new() -> Self {
        Self { entries: Slab::new(), by_id: PlaceIndex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn find(&self, id: &Label) -> Option<u32> {
        let job = self.by_id.find(id, |at| self.entries.get(at).is_some_and(|entry| entry.job.spec().id == *id))?;
        Some(number(job))
    }

    /// Takes in a job with an id that no other has.
    pub(super) fn insert(&mut self, entry: Entry<T>) -> u32 {
        let slot = self.entries.vacant_entry();
        self.by_id.insert(&entry.job.spec().id, slot.key());
        let job = number(slot.key());
        slot.insert(entry);
        job
    }

    pub(super) fn remove(&mut self, job: u32) -> Entry<T> {
        let entry = self.entries.remove(job as usize);
        self.by_id.remove(&entry.job.spec().id, job as usize);
        // What a burst has grown is given back once it is over.
        if self.entries.is_empty() && BURST_MIN <= self.entries.capacity() {
            *self = Self::new();
        }
        entry
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(super) fn get(&self, job: u32) -> &Entry<T> {
        &self.entries[job as usize]
    }

    pub(super) fn get_mut(&mut self, job: u32) -> &mut Entry<T> {
        &mut self.entries[job as usize]
    }

    pub(super) fn spec(&self, job: u32) -> &JobSpec {
        self.get(job).job.spec()
    }
}

pub(super) fn number(at: usize) -> u32 {
    u32::try_from(at).expect("the bounds keep numbers below 32 bits")
}
