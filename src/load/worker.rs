//! A caller: reserves, lets the call run, completes, and notes when. In the closed loop it does so again and again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::history::{Admitted, Completed, Room};
use super::plan::Plan;
use super::tally::{Answered, Counts, Lane, increase};
use super::workload::{Call, Workload};
use crate::client::{Completion, Limiter};
use crate::clock::Clock;
use crate::policy::{Amounts, Complete, LeaseId, Moment, Reserve};

/// More would only cost memory: so many threads seldom meet.
const LANES_MAX: usize = 16;

/// What all callers of a run share.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) workload: Workload,
    pub(super) clock: Clock,
    pub(super) begin: Moment,
    pub(super) counts: Counts,
    /// How many starts of the schedule were taken, and how many of them were made.
    pub(super) taken: AtomicU64,
    pub(super) started: AtomicU64,
    lanes: Vec<Mutex<Lane>>,
    room: Room,
}

impl Shared {
    pub(super) fn new(plan: Plan, workload: Workload, clock: Clock) -> Self {
        let lanes = (0..plan.concurrency.clamp(1, LANES_MAX)).map(|_| Mutex::new(Lane::new())).collect();
        Self {
            begin: clock.now(),
            room: Room::new(plan.records_max),
            counts: Counts::default(),
            taken: AtomicU64::new(0),
            started: AtomicU64::new(0),
            plan,
            workload,
            clock,
            lanes,
        }
    }

    /// Each in turn. Whoever panicked with a lane left counts that can be read.
    pub(super) fn lanes(&self) -> impl Iterator<Item = MutexGuard<'_, Lane>> {
        self.lanes.iter().map(|lane| lane.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lane(&self, caller: usize) -> MutexGuard<'_, Lane> {
        self.lanes[caller % self.lanes.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller.
pub(super) struct Caller {
    shared: Arc<Shared>,
    limiter: Arc<dyn Limiter>,
    number: usize,
    stop: watch::Receiver<bool>,
    random: fastrand::Rng,
}

/// A lease that was granted.
struct Running {
    lease_id: LeaseId,
    call: Call,
    /// Where it is kept, if there was room.
    record: Option<usize>,
}

impl Caller {
    pub(super) fn new(
        shared: Arc<Shared>,
        limiter: Arc<dyn Limiter>,
        number: usize,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { shared, limiter, number, stop, random: fastrand::Rng::new() }
    }

    pub(super) fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// Whether no call begins at `moment` any more.
    pub(super) fn is_over(&self, moment: Moment) -> bool {
        *self.stop.borrow() || self.shared.begin.after(self.shared.plan.duration) <= moment
    }

    /// The next start of the schedule that nobody has taken.
    pub(super) fn next_number(&self) -> u64 {
        self.shared.taken.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count_start(&self) {
        increase(&self.shared.started);
    }

    /// Says whether the load goes on.
    pub(super) async fn sleep_until(&mut self, moment: Moment) -> bool {
        let wakes = sleep_until(self.shared.clock.instant_of(moment));
        tokio::select! {
            () = wakes => true,
            _ = self.stop.wait_for(|stop| *stop) => false,
        }
    }

    /// One call after the other, until the end.
    pub(super) async fn run(mut self) {
        while !self.is_over(self.now()) {
            self.call(None).await;
            // A limiter in this process answers at once: the others must have their turn.
            tokio::task::consume_budget().await;
        }
    }

    /// One call, from its reservation to its completion. The latency of the reservation counts from `counted_from`, or
    /// from when it is sent.
    pub(super) async fn call(&mut self, counted_from: Option<Moment>) {
        let call = self.shared.workload.draw(&mut self.random);
        let request = Reserve::new(self.shared.workload.amounts(call));
        let (lease_id, amounts) = (request.lease_id, request.amounts.clone());
        let sent = self.now();
        let answer = self.limiter.reserve(request.into()).await;
        let answered = self.now();
        let took = answered.since(counted_from.unwrap_or(sent));
        self.shared.lane(self.number).note_reserve(answered, took, &answer, &self.shared.counts);
        match Answered::of(&answer) {
            Answered::Allowed => {
                let record = self.keep(Admitted { call, sent, answered, completion: None });
                self.pause(self.shared.plan.think).await;
                self.complete(Running { lease_id, call, record }).await;
            }
            Answered::Unknown => {
                self.give_back(lease_id, &amounts).await;
                self.pause(self.shared.plan.think).await;
            }
            Answered::Denied | Answered::Failed(_) => self.pause(self.shared.plan.think).await,
        }
    }

    async fn complete(&mut self, Running { lease_id, call, record }: Running) {
        let used = Workload::draw_used(call, &mut self.random);
        let request = Complete { lease_id, actuals: self.shared.workload.actuals(call, used) };
        let sent = self.now();
        if let Some(record) = record {
            self.shared.lane(self.number).admitted[record].completion = Some(Completed { sent, used });
        }
        let answer = self.limiter.complete(request.into()).await;
        let answered = self.now();
        let took = answered.since(sent);
        self.shared.lane(self.number).note_complete(answered, took, &answer, &self.shared.counts);
    }

    /// It may have been granted, and nobody will use it. Whether this is heard is as unknown.
    async fn give_back(&self, lease_id: LeaseId, amounts: &Amounts) {
        drop(self.limiter.complete(Completion::never_ran(lease_id, amounts)).await);
    }

    fn keep(&self, admitted: Admitted) -> Option<usize> {
        if self.shared.plan.records_max == 0 {
            return None;
        }
        if !self.shared.room.take() {
            increase(&self.shared.counts.unrecorded);
            return None;
        }
        let mut lane = self.shared.lane(self.number);
        lane.admitted.push(admitted);
        Some(lane.admitted.len() - 1)
    }

    /// Ends early when the load is stopped.
    async fn pause(&mut self, time: Duration) {
        if time.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(time) => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }
}
