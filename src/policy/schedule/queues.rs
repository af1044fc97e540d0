//! All queues, and which of them are ready: those take turns.

use std::collections::{BTreeSet, HashMap, VecDeque};

use slab::Slab;

use super::bounds::ScheduleBounds;
use super::class::Place;
use super::job::{JobSpec, Upstream};
use super::jobs::number;
use super::queue::{Pause, Queue};
use super::step::QueueView;
use crate::policy::line::Turns;
use crate::policy::moment::Moment;

#[derive(Debug)]
pub(super) struct Queues {
    bounds: ScheduleBounds,
    turns: Turns,
    queues: Slab<Queue>,
    by_upstream: HashMap<Upstream, u32>,
    /// The queues that are ready, and perhaps some that no longer are; the one whose turn it is first.
    ready: VecDeque<u32>,
    /// When the pause of each queue that has one is over.
    pauses: BTreeSet<(Moment, u32)>,
}

impl Queues {
    pub(super) fn new(bounds: ScheduleBounds, turns: Turns) -> Self {
        let (by_upstream, ready, pauses) = (HashMap::new(), VecDeque::new(), BTreeSet::new());
        Self { bounds, turns, queues: Slab::new(), by_upstream, ready, pauses }
    }

    pub(super) fn find(&self, upstream: &Upstream) -> Option<u32> {
        self.by_upstream.get(upstream).copied()
    }

    /// Makes a queue, of which there is none.
    pub(super) fn open(&mut self, upstream: &Upstream) -> u32 {
        let queue = number(self.queues.insert(Queue::new(upstream.clone())));
        self.by_upstream.insert(upstream.clone(), queue);
        queue
    }

    /// How many jobs it has that have not ended.
    pub(super) fn jobs(&self, queue: u32) -> usize {
        self.queues[queue as usize].jobs()
    }

    /// A job has come.
    pub(super) fn join(&mut self, queue: u32, spec: &JobSpec, place: Place, job: u32) {
        self.queues[queue as usize].join(spec, place, job, &self.turns);
        self.list_if_ready(queue);
    }

    /// A job that waited has ended.
    pub(super) fn leave(&mut self, queue: u32, spec: &JobSpec, place: Place) {
        self.queues[queue as usize].leave(spec, place);
        self.close_if_empty(queue);
    }

    /// The job whose turn it is, which is reserved for from now on.
    pub(super) fn take(&mut self) -> Option<u32> {
        while let Some(queue) = self.ready.pop_front() {
            let first = &mut self.queues[queue as usize];
            first.is_listed = false;
            if first.is_ready(&self.bounds) {
                let job = first.take(&self.turns).expect("a queue that is ready has a job");
                self.list_if_ready(queue);
                return Some(job);
            }
            self.close_if_empty(queue);
        }
        None
    }

    /// The attempt of a job was in vain: it waits again.
    pub(super) fn put_back(&mut self, queue: u32, spec: &JobSpec, place: Place, job: u32) {
        self.queues[queue as usize].put_back(spec, place, job);
        self.list_if_ready(queue);
    }

    /// A job that was reserved for was granted what it needs.
    pub(super) fn granted(&mut self, queue: u32) {
        self.queues[queue as usize].granted(&self.bounds);
        self.list_if_ready(queue);
    }

    /// A job that was reserved for has ended.
    pub(super) fn end_reserving(&mut self, queue: u32) {
        self.queues[queue as usize].reserving -= 1;
        self.list_if_ready(queue);
        self.close_if_empty(queue);
    }

    /// A job that ran has ended.
    pub(super) fn end_running(&mut self, queue: u32) {
        self.queues[queue as usize].running -= 1;
        self.list_if_ready(queue);
        self.close_if_empty(queue);
    }

    /// An attempt was refused.
    pub(super) fn pause(&mut self, queue: u32, pause: Pause) {
        let paused = &mut self.queues[queue as usize];
        let before = paused.pause;
        paused.pause(pause);
        let until = paused.pause.map_or(pause.until, |pause| pause.until);
        self.pauses.extend(Some((until, queue)));
        if let Some(before) = before.filter(|before| before.until != until) {
            self.pauses.remove(&(before.until, queue));
        }
    }

    /// A lease of this queue was completed: what it was refused for may be free before the refusal said.
    pub(super) fn freed(&mut self, queue: u32) {
        let Some(freed) = self.queues.get_mut(queue as usize) else { return };
        let Some(pause) = &mut freed.pause else { return };
        self.pauses.remove(&(pause.until, queue));
        pause.until = pause.at_least_until;
        self.pauses.insert((pause.until, queue));
    }

    /// Ends the pauses that are over.
    pub(super) fn wake(&mut self, now: Moment) {
        while let Some(&(until, queue)) = self.pauses.first()
            && until <= now
        {
            self.pauses.remove(&(until, queue));
            self.queues[queue as usize].pause = None;
            self.list_if_ready(queue);
        }
    }

    /// When the next pause is over.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.pauses.first().map(|(until, _)| *until)
    }

    pub(super) fn views(&self) -> impl Iterator<Item = QueueView> {
        self.queues.iter().filter(|(_, queue)| queue.jobs() != 0).map(|(_, queue)| QueueView {
            upstream: queue.upstream.clone(),
            waiting: queue.waiting,
            reserving: queue.reserving,
            running: queue.running,
            paused_until: queue.pause.map(|pause| pause.until),
        })
    }

    fn list_if_ready(&mut self, queue: u32) {
        let listed = &mut self.queues[queue as usize];
        if !listed.is_listed && listed.is_ready(&self.bounds) {
            listed.is_listed = true;
            self.ready.push_back(queue);
        }
    }

    /// A queue without jobs is forgotten, with what it was refused for. One that is listed goes when its turn comes.
    fn close_if_empty(&mut self, queue: u32) {
        let closed = &self.queues[queue as usize];
        if closed.jobs() != 0 || closed.is_listed {
            return;
        }
        if let Some(pause) = closed.pause {
            self.pauses.remove(&(pause.until, queue));
        }
        let closed = self.queues.remove(queue as usize);
        self.by_upstream.remove(&closed.upstream);
    }
}
