//! Carries out what the watchdog decides: asks, looks, replaces the client. Nothing here blocks a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use super::call::Answering;
use super::client::Client;
use super::dial::{self, Look, Reach};
use super::session::Session;
use super::watchdog::{SUSPICIOUS, Seen, Steps, Watchdog};
use crate::policy::Moment;

/// What is going on to get the cluster's answers back.
pub(super) struct Recovery {
    watchdog: Watchdog,
    /// The question that waits for an answer.
    probe: Option<Answering>,
    is_rebuilding: bool,
    has_failed: bool,
    /// What the last look found, for the next step.
    look: Option<Look>,
}

impl Recovery {
    pub(super) fn new(addresses: usize, now: Moment) -> Self {
        Self {
            watchdog: Watchdog::new(Reach::first(addresses), now),
            probe: None,
            is_rebuilding: false,
            has_failed: false,
            look: None,
        }
    }

    fn is_probe_waiting(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        if self.probe.as_mut().is_some_and(|probe| Pin::new(probe).poll(&mut context).is_ready()) {
            self.probe = None;
        }
        self.probe.is_some()
    }
}

impl Session {
    /// A step of the watchdog, to be made every 100 ms. Never blocks.
    pub fn tick(self: &Arc<Self>) {
        let mut recovery = self.recovery();
        let Some(is_turned_away) = self.client().as_ref().map(|client| client.refusal().is_some()) else { return };
        if recovery.is_rebuilding {
            return;
        }
        let seen = Seen {
            now: self.vitals.now(),
            heard: self.vitals.heard(),
            is_waiting: recovery.is_probe_waiting() || self.vitals.in_flight() != 0,
            is_away: self.is_away(),
            is_turned_away,
            look: recovery.look.take(),
            has_failed: std::mem::take(&mut recovery.has_failed),
        };
        let steps = recovery.watchdog.step(&seen);
        if steps.rebuild {
            (recovery.is_rebuilding, recovery.probe) = (true, None);
        }
        if steps.probe {
            recovery.probe = self.probe().ok();
        }
        drop(recovery);
        self.carry_out(steps, &seen);
    }

    fn carry_out(self: &Arc<Self>, steps: Steps, seen: &Seen) {
        if self.deadline.max(SUSPICIOUS) <= steps.silent_for {
            self.vitals.mark_away_unless_heard(seen.heard, "no answer");
        }
        if let Some(why) = steps.why {
            self.vitals.explain(why);
        }
        if steps.rebuild {
            let session = Arc::clone(self);
            self.runtime.spawn_blocking(move || session.rebuild());
        }
        if let Some(at) = steps.dial {
            let session = Arc::clone(self);
            self.runtime.spawn_blocking(move || session.look(at));
        }
    }

    fn rebuild(&self) {
        let started = Client::start(self.cluster_id, &self.addresses, &self.vitals, &self.runtime);
        let error = started.map(|client| self.replace(client)).err();
        if let Some(error) = &error {
            self.vitals.explain(&format!("a new client could not be started: {error}"));
            tracing::error!(%error, "a new client of TigerBeetle could not be started");
        }
        let mut recovery = self.recovery();
        (recovery.is_rebuilding, recovery.has_failed) = (false, error.is_some());
    }

    fn replace(&self, client: Client) {
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        // The session may have been closed meanwhile.
        let Some(old) = current.as_mut().map(|old| std::mem::replace(old, client)) else { return };
        drop(current);
        drop(old);
        self.vitals.count_rebuilt();
        tracing::info!("the client of TigerBeetle was replaced");
        self.recovery().probe = self.probe().ok();
    }

    fn look(&self, at: Reach) {
        let look = dial::dial(&self.addresses, at);
        self.recovery().look = Some(look);
    }

    fn recovery(&self) -> MutexGuard<'_, Recovery> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
