//! The jobs for one model of one provider.

use super::bounds::ScheduleBounds;
use super::class::{Class, Place};
use super::job::{JobSpec, Upstream};
use crate::policy::line::Turns;
use crate::policy::moment::Moment;
use crate::policy::priority::Priority;

/// A refusal stands between a queue and its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// Nobody is tried before this.
    pub(super) until: Moment,
    /// Nor before this, whatever completes meanwhile.
    pub(super) at_least_until: Moment,
}

/// One queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) upstream: Upstream,
    classes: [Class; 3],
    pub(super) waiting: usize,
    pub(super) reserving: usize,
    pub(super) running: usize,
    /// How many may be reserved for at once.
    window: usize,
    pub(super) pause: Option<Pause>,
    /// It stands among the queues that are ready, or that were when they were put there.
    pub(super) is_listed: bool,
}

impl Queue {
    pub(super) fn new(upstream: Upstream) -> Self {
        let classes = Default::default();
        Self { upstream, classes, waiting: 0, reserving: 0, running: 0, window: 1, pause: None, is_listed: false }
    }

    /// How many jobs it has that have not ended.
    pub(super) fn jobs(&self) -> usize {
        self.waiting + self.under_way()
    }

    /// Whether one of its jobs may be tried.
    pub(super) fn is_ready(&self, bounds: &ScheduleBounds) -> bool {
        let has_room = self.reserving < self.window && self.under_way() < bounds.running_per_queue_max;
        self.waiting != 0 && self.pause.is_none() && has_room
    }

    pub(super) fn join(&mut self, spec: &JobSpec, place: Place, job: u32, turns: &Turns) {
        self.class(spec.priority).join(&spec.tenant, place, job, turns);
        self.waiting += 1;
    }

    pub(super) fn leave(&mut self, spec: &JobSpec, place: Place) {
        self.class(spec.priority).leave(&spec.tenant, place);
        self.waiting -= 1;
    }

    /// Takes out the job whose turn it is, to be reserved for.
    pub(super) fn take(&mut self, turns: &Turns) -> Option<u32> {
        let priorities = [Priority::High, Priority::Normal, Priority::Low];
        let as_if = |priority: &Priority| {
            let oldest = self.classes[*priority as usize].oldest();
            oldest.map(|oldest| turns.as_if_joined(oldest.joined_at, *priority))
        };
        let (_, priority) = priorities.iter().filter_map(as_if).min()?;
        let job = self.class(priority).take(turns)?;
        self.waiting -= 1;
        self.reserving += 1;
        Some(job)
    }

    /// A job was granted what it needs.
    pub(super) fn granted(&mut self, bounds: &ScheduleBounds) {
        self.reserving -= 1;
        self.running += 1;
        self.window = self.window.saturating_mul(2).min(bounds.reserving_per_queue_max);
    }

    /// The attempt of a job was in vain: it waits again, and the queue with it.
    pub(super) fn put_back(&mut self, spec: &JobSpec, place: Place, job: u32) {
        self.class(spec.priority).put_back(&spec.tenant, place, job);
        self.waiting += 1;
        self.reserving -= 1;
    }

    /// An attempt was refused: the next are made one by one, and not before `pause` is over.
    pub(super) fn pause(&mut self, pause: Pause) {
        self.window = 1;
        let before = self.pause.unwrap_or(pause);
        self.pause = Some(Pause {
            until: before.until.max(pause.until),
            at_least_until: before.at_least_until.max(pause.at_least_until),
        });
    }

    fn class(&mut self, priority: Priority) -> &mut Class {
        &mut self.classes[priority as usize]
    }

    fn under_way(&self) -> usize {
        self.reserving + self.running
    }
}
