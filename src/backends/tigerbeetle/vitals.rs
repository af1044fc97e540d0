//! What all clients of a session report to, one after the other: slots, signs of life, the cluster's time, counters.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cluster_clock::{self, ClusterClock};
use crate::backends::SessionStatus;
use crate::clock::Clock;
use crate::policy::Moment;

/// Shared by a session, its clients and their calls.
pub(super) struct Vitals {
    clock: Clock,
    in_flight: AtomicU64,
    in_flight_max: u64,
    /// Answers so far.
    heard: AtomicU64,
    /// Since when the cluster does not answer, in nanoseconds and one more; 0 while it does.
    away_since: AtomicU64,
    /// What is known about why.
    why_away: Mutex<String>,
    cluster_clock: Mutex<ClusterClock>,
    /// The cluster's time of the last answer: packets of one request share it.
    last_cluster_ns: AtomicU64,
    offset_ns: AtomicI64,
    timed_out: AtomicU64,
    rebuilt: AtomicU64,
}

impl Vitals {
    /// Away until the first answer.
    pub(super) fn new(clock: Clock, in_flight_max: usize) -> Self {
        let away_since = AtomicU64::new(clock.now().as_nanos() + 1);
        Self {
            clock,
            in_flight: AtomicU64::new(0),
            in_flight_max: in_flight_max as u64,
            heard: AtomicU64::new(0),
            away_since,
            why_away: Mutex::new("no answer yet".to_owned()),
            cluster_clock: Mutex::default(),
            last_cluster_ns: AtomicU64::new(0),
            offset_ns: AtomicI64::new(0),
            timed_out: AtomicU64::new(0),
            rebuilt: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Takes a slot, if one is free.
    pub(super) fn take_slot(&self) -> bool {
        let is_free = self.in_flight.fetch_add(1, Ordering::Relaxed) < self.in_flight_max;
        if !is_free {
            self.give_slot_back();
        }
        is_free
    }

    pub(super) fn give_slot_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Answers so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    /// The cluster has answered: it is there.
    pub(super) fn hear(&self, cluster_ns: u64) {
        if self.last_cluster_ns.swap(cluster_ns, Ordering::Relaxed) != cluster_ns {
            let mut cluster_clock = self.cluster_clock.lock().unwrap_or_else(PoisonError::into_inner);
            // Read under the lock, so that the estimate never sees time go back.
            let offset_ns = cluster_clock.hear(cluster_ns, self.clock.now());
            self.offset_ns.store(offset_ns, Ordering::Relaxed);
        }
        // Before the look at `away_since`: see `mark_away_unless_heard`.
        self.heard.fetch_add(1, Ordering::SeqCst);
        if self.is_away() {
            self.mark_back();
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_since.load(Ordering::SeqCst) != 0
    }

    /// How long the cluster has not answered; `None` while it does.
    pub(super) fn away_for(&self) -> Option<Duration> {
        let since_ns = self.away_since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.now().since(Moment::from_nanos(since_ns)))
    }

    /// Why, in words; `None` while it answers.
    pub(super) fn why_away(&self) -> Option<String> {
        let away_for = self.away_for()?;
        Some(format!("{}; away for {:.1} s", self.why(), away_for.as_secs_f64()))
    }

    /// Something more is known about why it is away.
    pub(super) fn explain(&self, why: &str) {
        why.clone_into(&mut self.why());
    }

    pub(super) fn mark_away(&self, why: &str) {
        if self.begin_to_be_away(why) {
            tracing::warn!(why, "TigerBeetle is away");
        }
    }

    /// It is this server that goes away.
    pub(super) fn mark_closed(&self) {
        self.begin_to_be_away("the session was closed");
    }

    fn begin_to_be_away(&self, why: &str) -> bool {
        self.explain(why);
        let now = self.now().as_nanos() + 1;
        self.away_since.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Marks it away if it has not answered since `heard` was read. An answer that arrives in between is seen here, or
    /// sees the mark: one of the two takes it back.
    pub(super) fn mark_away_unless_heard(&self, heard: u64, why: &str) {
        if self.heard() != heard || self.is_away() {
            return;
        }
        self.mark_away(why);
        if self.heard() != heard {
            self.mark_back();
        }
    }

    fn mark_back(&self) {
        if self.away_since.swap(0, Ordering::SeqCst) != 0 {
            tracing::info!("TigerBeetle answers");
        }
    }

    pub(super) fn cluster_ns(&self) -> u64 {
        self.cluster_ns_at(self.now())
    }

    pub(super) fn cluster_ns_at(&self, moment: Moment) -> u64 {
        cluster_clock::cluster_ns_at(moment, self.offset_ns.load(Ordering::Relaxed))
    }

    pub(super) fn moment_of(&self, cluster_ns: u64) -> Moment {
        cluster_clock::moment_of(cluster_ns, self.offset_ns.load(Ordering::Relaxed))
    }

    pub(super) fn count_timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rebuilt(&self) {
        self.rebuilt.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> SessionStatus {
        let away_for = self.away_for();
        SessionStatus {
            // More may be counted for an instant, while one is refused.
            in_flight: self.in_flight().min(self.in_flight_max),
            in_flight_max: self.in_flight_max,
            away_since_ms: away_for.map(|away_for| u64::try_from(away_for.as_millis()).unwrap_or(u64::MAX)),
            timed_out: self.timed_out.load(Ordering::Relaxed),
            rebuilt: self.rebuilt.load(Ordering::Relaxed),
            ..SessionStatus::default()
        }
    }

    fn why(&self) -> MutexGuard<'_, String> {
        self.why_away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
