//! Carries out what the watchdog decides: asks, looks, replaces the client. Nothing here blocks a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Waker};

use super::call::Answering;
use super::client::Client;
use super::dial::{self, Reach};
use super::session::Session;
use super::watchdog::{Seen, Steps, Watchdog};
use crate::policy::Moment;

/// What is going on to get the cluster's answers back.
pub(super) struct Recovery {
    watchdog: Watchdog,
    /// The question that waits for an answer.
    probe: Option<Answering>,
    is_rebuilding: bool,
    /// What the last look found, for the next step.
    reach: Option<Reach>,
}

impl Recovery {
    pub(super) fn new(now: Moment) -> Self {
        Self { watchdog: Watchdog::new(now), probe: None, is_rebuilding: false, reach: None }
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
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
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
            reach: recovery.reach.take(),
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
        if !steps.silent_for.is_zero() && self.deadline.max(super::watchdog::SUSPICIOUS) <= steps.silent_for {
            self.vitals.mark_away_unless_heard(seen.heard, "no answer");
        }
        if steps.rebuild {
            let session = Arc::clone(self);
            self.runtime.spawn_blocking(move || session.rebuild());
        }
        if steps.dial {
            let session = Arc::clone(self);
            self.runtime.spawn_blocking(move || session.look());
        }
    }

    fn rebuild(&self) {
        let started = Client::start(self.cluster_id, &self.address_list(), &self.vitals);
        match started {
            Ok(client) => self.replace(client),
            Err(error) => {
                self.vitals.explain(&format!("a new client could not be started: {error}"));
                tracing::error!(%error, "a new client of TigerBeetle could not be started");
            }
        }
        self.recovery().is_rebuilding = false;
    }

    fn replace(&self, client: Client) {
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        // The session may have been closed meanwhile.
        let Some(old) = current.as_mut().map(|old| std::mem::replace(old, client)) else { return };
        old.retire();
        drop(current);
        self.vitals.count_rebuilt();
        tracing::info!("the client of TigerBeetle was replaced");
        self.recovery().probe = self.probe().ok();
    }

    fn look(&self) {
        let reach = dial::dial(&self.addresses);
        if reach.0 == 0 {
            self.vitals.explain("nobody listens at its addresses");
        }
        self.recovery().reach = Some(reach);
    }

    fn recovery(&self) -> std::sync::MutexGuard<'_, Recovery> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the library wants it.
    pub(super) fn address_list(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }
}
