//! What a schedule says, and is told.

use std::time::Duration;

use super::job::Upstream;
use crate::policy::lease::LeaseId;
use crate::policy::moment::Moment;

/// What is to be done next.
#[derive(Debug)]
pub enum Step<T> {
    /// A job's deadline has passed before it could be granted anything. It has ended.
    Expired(Ended<T>),
    /// It is this job's turn to reserve what it needs.
    Try(Turn<T>),
    /// Nothing until then, unless something changes; `None` for as long as nothing changes.
    Wait(Option<Moment>),
}

/// A job that is under way. Whoever has it tells the schedule once what became of it.
#[derive(Debug)]
#[must_use = "a job that is under way must be deferred or ended"]
pub struct Held(pub(super) u32);

/// A job's turn.
#[derive(Debug)]
pub struct Turn<T> {
    /// Its hold on the schedule.
    pub held: Held,
    /// Which job.
    pub job: T,
    /// Which of its attempts this is; the first is 1.
    pub attempt: u32,
    /// The lease id of an attempt that may have been granted: it is to be made again under the same id.
    pub in_doubt: Option<LeaseId>,
    /// How many answers in a row left that unknown.
    pub unknowns: u32,
}

/// A job that ended while it waited.
#[derive(Debug)]
pub struct Ended<T> {
    /// Which job.
    pub job: T,
    /// A lease that it may have been granted, which is to be given back.
    pub in_doubt: Option<LeaseId>,
}

/// Why an attempt was in vain, and when the next may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// Whether it was granted is unknown: again under the same lease id.
    SameLease {
        /// Which.
        lease_id: LeaseId,
        /// From now.
        after: Duration,
    },
    /// It was denied: again under a new lease id.
    NewLease {
        /// From now, if none of the queue's leases is completed before.
        after: Duration,
        /// From now, whatever completes before.
        at_least: Duration,
    },
}

/// What becomes of a job whose attempt was in vain.
#[derive(Debug)]
#[must_use = "a job that is over is to be told so"]
pub enum Deferred<T> {
    /// It stands in its queue again, at the place that it had.
    Waiting,
    /// It has made as many attempts as it may. It has ended.
    Exhausted(Ended<T>),
    /// It was cancelled meanwhile. It has ended.
    Cancelled(Ended<T>),
    /// The schedule has stopped meanwhile. It has ended.
    Stopped(Ended<T>),
}

/// What a cancellation has met.
#[derive(Debug)]
pub enum Cancelled<T> {
    /// A job that waited. It has ended.
    Waiting(Ended<T>),
    /// A job that is under way: whoever has it is to be told.
    UnderWay(T),
}

/// One queue, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// For which model of which provider.
    pub upstream: Upstream,
    /// How many jobs wait.
    pub waiting: usize,
    /// For how many a reservation is under way.
    pub reserving: usize,
    /// How many run.
    pub running: usize,
    /// Until when nobody is tried, because somebody was refused.
    pub paused_until: Option<Moment>,
}
