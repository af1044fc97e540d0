//! When to ask, to look from outside, and to replace a client that does not answer. Pure: time is an argument.
//!
//! A client that was never given up comes back by itself, but late: the longer the outage, the longer the pauses
//! between its attempts. A new one is fast, if it is made when the cluster is back; made before, it costs the cluster a
//! session for nothing. So the cluster is looked at from outside, and a new client is made when an address takes
//! connections again that did not. A server that is merely stopped takes them all the time, and answers everything when
//! it goes on.

use std::time::Duration;

use super::dial::{Look, Reach};
use crate::policy::Moment;

/// Without calls, the cluster is asked this often: whether it is there, and what time it is.
const IDLE: Duration = Duration::from_secs(1);

/// So long without an answer is worth a look from outside.
pub(super) const SUSPICIOUS: Duration = Duration::from_millis(300);

/// How often to look at a cluster that takes connections and says nothing; half as often each time. Each look leaves a
/// closed connection in its queue.
const DIAL_INTERVAL_MIN: Duration = Duration::from_secs(1);
const DIAL_INTERVAL_MAX: Duration = Duration::from_secs(8);

/// How long a client may be silent before it is replaced without any sign that this helps; twice as long each time. A
/// stopped cluster makes a session for each of them when it goes on.
const PATIENCE_MIN: Duration = Duration::from_secs(10);
const PATIENCE_MAX: Duration = Duration::from_secs(3_600);

/// The same after an address has come back: a server that has just begun to listen may have a log to read first.
const PATIENCE_WITH_A_RETURN: Duration = Duration::from_secs(5);

/// The least time between two clients, so that an address that comes and goes does not use up the cluster's sessions.
const REBUILD_INTERVAL: Duration = Duration::from_secs(1);

/// The longest time between two clients that the cluster has turned away.
const TURNED_AWAY_MAX: Duration = Duration::from_secs(16);

/// What counts of the time between two steps: if they are further apart, this process was held up, not the cluster.
const STEP_MAX: Duration = Duration::from_millis(250);

/// What is seen at a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) now: Moment,
    /// Answers so far.
    pub(super) heard: u64,
    /// Whether a call is without an answer, sent or not.
    pub(super) is_waiting: bool,
    pub(super) is_away: bool,
    /// Whether the library takes no more packets.
    pub(super) is_turned_away: bool,
    /// What a look that ended since the last step found.
    pub(super) look: Option<Look>,
    /// Whether the client that was to be made could not be started.
    pub(super) has_failed: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Ask the cluster something.
    pub(super) probe: bool,
    /// Look from outside at these addresses.
    pub(super) dial: Option<Reach>,
    /// Make a new client.
    pub(super) rebuild: bool,
    /// How long it has not answered.
    pub(super) silent_for: Duration,
    /// What the look before says about why.
    pub(super) why: Option<&'static str>,
}

/// What it remembers between steps.
#[derive(Debug)]
pub(super) struct Watchdog {
    addresses: Reach,
    last_step: Moment,
    heard: u64,
    /// Since the last answer, asked or not.
    idle_for: Duration,
    /// Waiting time since the last answer.
    silent_for: Duration,
    /// The same of the present client alone.
    client_silent_for: Duration,
    patience: Duration,
    is_dialing: bool,
    /// Since all addresses were looked at.
    since_dial: Duration,
    dial_interval: Duration,
    /// The addresses that took connections when they were last looked at; `None` before the first look.
    open: Option<Reach>,
    is_new_client_wanted: bool,
    since_rebuild: Duration,
    turned_away_pause: Duration,
}

impl Watchdog {
    pub(super) fn new(addresses: Reach, now: Moment) -> Self {
        Self {
            addresses,
            last_step: now,
            heard: 0,
            idle_for: Duration::ZERO,
            silent_for: Duration::ZERO,
            client_silent_for: Duration::ZERO,
            patience: PATIENCE_MIN,
            is_dialing: false,
            since_dial: Duration::ZERO,
            dial_interval: DIAL_INTERVAL_MIN,
            open: None,
            is_new_client_wanted: false,
            since_rebuild: Duration::MAX,
            turned_away_pause: Duration::ZERO,
        }
    }

    /// One step; about ten of them make a second.
    pub(super) fn step(&mut self, seen: &Seen) -> Steps {
        self.pass_time(seen);
        self.take_look(seen.look);
        // Without one, and as soon as two may follow each other, it is tried again.
        self.is_new_client_wanted |= seen.has_failed;
        let mut steps = Steps { silent_for: self.silent_for, why: self.why(), ..Steps::default() };
        if self.is_rebuild_due(seen) {
            self.note_rebuild(seen.is_turned_away);
            steps.rebuild = true;
            return steps;
        }
        steps.probe = !seen.is_turned_away && !seen.is_waiting && (seen.is_away || IDLE <= self.idle_for);
        steps.dial = self.dial_due();
        self.is_dialing |= steps.dial.is_some();
        steps
    }

    fn pass_time(&mut self, seen: &Seen) {
        let passed = seen.now.since(self.last_step).min(STEP_MAX);
        self.last_step = seen.now;
        self.since_dial += passed;
        self.since_rebuild = self.since_rebuild.saturating_add(passed);
        if seen.heard != self.heard {
            self.heard = seen.heard;
            (self.idle_for, self.silent_for, self.client_silent_for) = Default::default();
            (self.patience, self.dial_interval) = (PATIENCE_MIN, DIAL_INTERVAL_MIN);
            (self.open, self.is_new_client_wanted) = (None, false);
            return;
        }
        self.idle_for += passed;
        if seen.is_waiting {
            self.silent_for += passed;
            self.client_silent_for += passed;
        }
    }

    fn take_look(&mut self, look: Option<Look>) {
        let Some(look) = look else { return };
        self.is_dialing = false;
        // An address that was not looked at before has not come back.
        let before = self.open.unwrap_or(self.addresses);
        self.is_new_client_wanted |= look.open.without(before) != Reach::NOWHERE;
        self.open = Some(before.without(look.at).with(look.open));
    }

    fn is_rebuild_due(&self, seen: &Seen) -> bool {
        if seen.is_turned_away {
            return self.turned_away_pause <= self.since_rebuild;
        }
        let is_wanted = self.is_new_client_wanted && SUSPICIOUS <= self.silent_for;
        (is_wanted || self.patience <= self.client_silent_for) && REBUILD_INTERVAL <= self.since_rebuild
    }

    fn note_rebuild(&mut self, is_turned_away: bool) {
        if is_turned_away {
            // The first one at once; those that are turned away soon again wait longer and longer.
            let is_again = self.since_rebuild < TURNED_AWAY_MAX * 2;
            let longer = (self.turned_away_pause * 2).clamp(REBUILD_INTERVAL, TURNED_AWAY_MAX);
            self.turned_away_pause = if is_again { longer } else { REBUILD_INTERVAL };
        } else if self.is_new_client_wanted {
            self.patience = PATIENCE_WITH_A_RETURN;
        } else {
            self.patience = (self.patience * 2).clamp(PATIENCE_MIN, PATIENCE_MAX);
        }
        self.is_new_client_wanted = false;
        (self.since_rebuild, self.client_silent_for) = Default::default();
    }

    fn why(&self) -> Option<&'static str> {
        let open = self.open?;
        Some(match self.addresses.without(open) {
            Reach::NOWHERE => "it takes connections and does not answer",
            closed if closed == self.addresses => "nobody listens at its addresses",
            _ => "some of its addresses take no connections",
        })
    }

    /// The addresses that take no connections are looked at all the time.
    fn dial_due(&mut self) -> Option<Reach> {
        if self.is_dialing || self.silent_for < SUSPICIOUS {
            return None;
        }
        if self.open.is_none() || self.dial_interval <= self.since_dial {
            if self.open == Some(self.addresses) {
                self.dial_interval = (self.dial_interval * 2).min(DIAL_INTERVAL_MAX);
            }
            self.since_dial = Duration::ZERO;
            return Some(self.addresses);
        }
        let closed = self.addresses.without(self.open?);
        (closed != Reach::NOWHERE).then_some(closed)
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
