//! All jobs of a scheduler, from submission to end. Every operation costs the logarithm of what it holds, at most.

use std::collections::BTreeSet;

use super::bounds::{ScheduleBounds, ScheduleFull};
use super::class::Place;
use super::job::{JobSpec, Scheduled};
use super::jobs::{Entry, Jobs, State};
use super::queues::Queues;
use super::step::{Cancelled, Deferral, Deferred, Ended, Held, QueueView, Step, Turn};
use crate::policy::lease::Label;
use crate::policy::line::Turns;
use crate::policy::moment::Moment;

/// Whether jobs come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// They come and go.
    Open,
    /// They go.
    Draining,
    /// Those that are under way go.
    Stopped,
}

/// The jobs of a scheduler that have not ended.
#[derive(Debug)]
pub struct Schedule<T> {
    bounds: ScheduleBounds,
    phase: Phase,
    jobs: Jobs<T>,
    queues: Queues,
    /// The deadlines of all jobs that wait.
    deadlines: BTreeSet<(Moment, u32)>,
    next_ticket: u64,
}

impl<T: Scheduled> Schedule<T> {
    /// An empty one. `turns` are those of tenants and priorities inside each queue.
    #[must_use]
    pub fn new(bounds: ScheduleBounds, turns: Turns) -> Self {
        let queues = Queues::new(bounds, turns);
        Self { bounds, phase: Phase::Open, jobs: Jobs::new(), queues, deadlines: BTreeSet::new(), next_ticket: 0 }
    }

    /// Takes a job in.
    ///
    /// # Errors
    /// A [`ScheduleFull`]: why not.
    pub fn submit(&mut self, job: T, now: Moment) -> Result<(), ScheduleFull> {
        let spec = job.spec();
        let queue = self.admit(spec)?.unwrap_or_else(|| self.queues.open(&spec.upstream));
        let place = Place { joined_at: now, ticket: self.next_ticket };
        self.next_ticket += 1;
        let entry = Entry { job, place, queue, state: State::Waiting, attempts: 0, unknowns: 0, in_doubt: None };
        let job = self.jobs.insert(entry);
        let spec = self.jobs.spec(job);
        self.deadlines.insert((spec.deadline, job));
        self.queues.join(queue, spec, place, job);
        Ok(())
    }

    /// What is to be done next; to be asked until it says to wait.
    pub fn step(&mut self, now: Moment) -> Step<T> {
        let deadline = self.deadlines.first().copied();
        if let Some((_, job)) = deadline.filter(|(deadline, _)| *deadline <= now) {
            return Step::Expired(self.end_waiting(job));
        }
        self.queues.wake(now);
        let job = if self.under_way() < self.bounds.running_max { self.queues.take() } else { None };
        let Some(job) = job else {
            return Step::Wait(self.queues.next_wake().into_iter().chain(deadline.map(|(moment, _)| moment)).min());
        };
        let entry = self.jobs.get_mut(job);
        entry.state = State::Reserving { is_cancelled: false };
        entry.attempts = entry.attempts.saturating_add(u32::from(entry.in_doubt.is_none()));
        self.deadlines.remove(&(entry.job.spec().deadline, job));
        let Entry { attempts, in_doubt, unknowns, .. } = *entry;
        Step::Try(Turn { held: Held(job), job: entry.job.clone(), attempt: attempts, in_doubt, unknowns })
    }

    /// A job was granted what it needs, and runs.
    ///
    /// # Panics
    /// If it runs already.
    pub fn granted(&mut self, held: &Held) {
        let entry = self.jobs.get_mut(held.0);
        assert!(matches!(entry.state, State::Reserving { .. }), "a job is granted once");
        (entry.state, entry.in_doubt) = (State::Running, None);
        self.queues.granted(entry.queue);
    }

    /// The attempt of a job was in vain: it goes back to its queue, unless it is over.
    ///
    /// # Panics
    /// If it runs.
    pub fn defer(&mut self, held: Held, deferral: Deferral, now: Moment) -> Deferred<T> {
        let Held(job) = held;
        let entry = self.jobs.get_mut(job);
        let State::Reserving { is_cancelled } = entry.state else { panic!("a job that runs is not deferred") };
        let pause = entry.learn(deferral, now);
        let is_exhausted = entry.is_exhausted();
        self.queues.pause(entry.queue, pause);
        match self.phase {
            _ if is_cancelled => Deferred::Cancelled(self.end_reserving(job)),
            Phase::Stopped => Deferred::Stopped(self.end_reserving(job)),
            Phase::Open | Phase::Draining if is_exhausted => Deferred::Exhausted(self.end_reserving(job)),
            Phase::Open | Phase::Draining => {
                let entry = self.jobs.get_mut(job);
                entry.state = State::Waiting;
                let (spec, place, queue) = (entry.job.spec(), entry.place, entry.queue);
                self.deadlines.insert((spec.deadline, job));
                self.queues.put_back(queue, spec, place, job);
                Deferred::Waiting
            }
        }
    }

    /// A job that was under way has ended. `gave_back` says whether its lease was completed: what others of its queue
    /// were refused for may be free before they were told.
    pub fn end(&mut self, held: Held, gave_back: bool) {
        let Held(job) = held;
        let Entry { queue, state, .. } = *self.jobs.get(job);
        if gave_back {
            self.queues.freed(queue);
        }
        if state == State::Running {
            self.jobs.remove(job);
            self.queues.end_running(queue);
        } else {
            self.end_reserving(job);
        }
    }

    /// Ends a job that waits, and finds one that is under way; `None` if there is none with this id.
    pub fn cancel(&mut self, id: &Label) -> Option<Cancelled<T>> {
        let job = self.jobs.find(id)?;
        let entry = self.jobs.get_mut(job);
        match &mut entry.state {
            State::Waiting => return Some(Cancelled::Waiting(self.end_waiting(job))),
            State::Reserving { is_cancelled } => *is_cancelled = true,
            State::Running => {}
        }
        Some(Cancelled::UnderWay(entry.job.clone()))
    }

    /// Takes no more jobs from now on.
    pub fn drain(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
    }

    /// From now on no job waits. Gives out one of those that do, which has ended; to be called until there is none.
    pub fn stop(&mut self) -> Option<Ended<T>> {
        self.phase = Phase::Stopped;
        let (_, job) = *self.deadlines.first()?;
        Some(self.end_waiting(job))
    }

    /// The jobs that are under way.
    pub fn all_under_way(&self) -> impl Iterator<Item = &T> {
        self.jobs.iter().filter(|entry| entry.state != State::Waiting).map(|entry| &entry.job)
    }

    /// How many jobs have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether all jobs have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.deadlines.len()
    }

    /// How many jobs are under way: reserved for, or running.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.len() - self.waiting()
    }

    /// Whether it takes jobs in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The queues that have jobs.
    pub fn queues(&self) -> impl Iterator<Item = QueueView> {
        self.queues.views()
    }

    /// The queue that a job would stand in, if there is one.
    fn admit(&self, spec: &JobSpec) -> Result<Option<u32>, ScheduleFull> {
        let ScheduleBounds { jobs_max, jobs_per_queue_max, .. } = self.bounds;
        if self.phase != Phase::Open {
            return Err(ScheduleFull::Closed);
        }
        if self.jobs.find(&spec.id).is_some() {
            return Err(ScheduleFull::DuplicateId(spec.id.clone()));
        }
        if jobs_max <= self.jobs.len() {
            return Err(ScheduleFull::Full { jobs_max });
        }
        let queue = self.queues.find(&spec.upstream);
        if queue.is_some_and(|queue| jobs_per_queue_max <= self.queues.jobs(queue)) {
            return Err(ScheduleFull::QueueFull { upstream: spec.upstream.clone(), jobs_per_queue_max });
        }
        Ok(queue)
    }

    fn end_waiting(&mut self, job: u32) -> Ended<T> {
        let Entry { job: ended, place, queue, in_doubt, .. } = self.jobs.remove(job);
        self.deadlines.remove(&(ended.spec().deadline, job));
        self.queues.leave(queue, ended.spec(), place);
        Ended { job: ended, in_doubt }
    }

    fn end_reserving(&mut self, job: u32) -> Ended<T> {
        let Entry { job, queue, in_doubt, .. } = self.jobs.remove(job);
        self.queues.end_reserving(queue);
        Ended { job, in_doubt }
    }
}
