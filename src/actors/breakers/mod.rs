//! The circuit breakers of one runtime: state that outlives the supervisor and its children.

mod circuit_breaker;
mod gate;
mod permit;
mod supervisor;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::broadcast;

pub use circuit_breaker::CircuitBreakerMessage;
pub(crate) use gate::Gate;
pub use permit::Permit;
pub(super) use supervisor::BreakersActor;

use super::mailbox::Mailbox;
use super::status::ActorStatus;
use super::supervision::RETIRED;
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::{BreakerName, BreakerSettings, Moment, Transition};

/// Transitions that a subscriber may be behind before it misses the oldest.
const TRANSITIONS_KEPT: usize = 1_024;

/// Messages queued for the supervisor beside the one for each breaker that is made.
const QUEUE_SPARE: usize = 1_024;

/// How long nobody may have asked for a breaker before it may make room for another.
const IDLE_MIN: Duration = Duration::from_secs(3_600);

// Nobody waits for an outcome of what goes.
const _: () = assert!(gate::PERMIT_LIFETIME.as_secs() <= IDLE_MIN.as_secs());

/// How often a full table is looked through for breakers that may go.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60);

/// What the supervisor of all `circuit_breaker` actors can be told.
#[derive(Debug)]
pub enum BreakersMessage {
    /// This breaker needs an actor.
    Ensure(BreakerName),
    /// The delay before a restart is over.
    Restart(BreakerName),
}

/// There is no room for another circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {max_breakers} circuit breakers already, as many as `max_breakers` allows; use one of those, or raise it"
)]
pub struct BreakersFull {
    /// The most there may be.
    pub max_breakers: usize,
}

/// The breakers of one runtime. Shared: it outlives the supervisor.
#[derive(Debug)]
pub(crate) struct Breakers {
    pub(super) mailbox: Mailbox<BreakersMessage>,
    pub(crate) transitions: broadcast::Sender<Transition>,
    runtime_name: String,
    clock: Clock,
    defaults: BreakerSettings,
    max_breakers: usize,
    table: RwLock<HashMap<BreakerName, Arc<Gate>>>,
    collected_at: Mutex<Option<Moment>>,
}

impl Breakers {
    pub(super) fn new(runtime_name: &str, settings: &Settings, clock: &Clock) -> Self {
        let queue_max = settings.max_breakers.saturating_add(settings.breakers.len()).saturating_add(QUEUE_SPARE);
        let breakers = Self {
            mailbox: Mailbox::new(format!("{runtime_name}/breakers"), queue_max),
            transitions: broadcast::Sender::new(TRANSITIONS_KEPT),
            runtime_name: runtime_name.to_owned(),
            clock: clock.clone(),
            defaults: settings.breaker_defaults.clone(),
            max_breakers: settings.max_breakers,
            table: RwLock::default(),
            collected_at: Mutex::default(),
        };
        let configured = settings.breakers.iter();
        let configured = configured.map(|(name, of_its_own)| (name.clone(), breakers.make(name, of_its_own, true)));
        let configured = configured.collect();
        *breakers.write_table() = configured;
        breakers
    }

    /// The breaker of this name, if there is one; it counts as asked for.
    pub(crate) fn find(&self, name: &BreakerName) -> Option<Arc<Gate>> {
        self.peek(name).inspect(|gate| gate.touch())
    }

    /// The breaker of this name, if there is one.
    fn peek(&self, name: &BreakerName) -> Option<Arc<Gate>> {
        self.read_table().get(name).cloned()
    }

    /// The same; one that is missing is made from the defaults. A full table makes room by letting go of breakers that
    /// nobody has asked for in an hour, if they are as new and nobody holds them.
    pub(crate) fn find_or_make(&self, name: &BreakerName) -> Result<Arc<Gate>, BreakersFull> {
        if let Some(gate) = self.find(name) {
            return Ok(gate);
        }
        let mut table = self.write_table();
        if let Some(gate) = table.get(name) {
            return Ok(Arc::clone(gate)); // Somebody else has just made it.
        }
        if self.max_breakers <= table.len() {
            self.collect(&mut table);
        }
        if self.max_breakers <= table.len() {
            return Err(BreakersFull { max_breakers: self.max_breakers });
        }
        let gate = self.make(name, &self.defaults, false);
        table.insert(name.clone(), Arc::clone(&gate));
        drop(table);
        self.ensure(name);
        Ok(gate)
    }

    /// All of them, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Gate>> {
        let mut gates: Vec<_> = self.read_table().values().cloned().collect();
        gates.sort_by(|a, b| a.name().cmp(b.name()));
        gates
    }

    /// The present incarnation of a breaker's actor.
    pub(crate) fn actor(&self, name: &BreakerName) -> Option<ActorRef<CircuitBreakerMessage>> {
        self.read_table().get(name).and_then(|gate| gate.mailbox.actor())
    }

    /// Asks for an actor for every breaker that was made while there was no supervisor to ask.
    pub(super) fn ensure_all(&self) {
        let lacking = self.all().into_iter().filter(|gate| gate.mailbox.actor().is_none());
        lacking.for_each(|gate| self.ensure(gate.name()));
    }

    pub(super) fn status(&self, now: Moment) -> ActorStatus {
        let mut status = self.mailbox.status(now);
        status.children = self.all().iter().map(|gate| gate.mailbox.status(now)).collect();
        status
    }

    /// The supervisor and its children are gone for good. Breakers that hosts hold go on deciding.
    pub(super) fn end(&self) {
        self.mailbox.end();
        self.read_table().values().for_each(|gate| gate.mailbox.end());
    }

    fn make(&self, name: &BreakerName, settings: &BreakerSettings, is_configured: bool) -> Arc<Gate> {
        let actor_name = format!("{}/circuit_breaker/{name}", self.runtime_name);
        let transitions = self.transitions.clone();
        let gate =
            Gate::new(name.clone(), settings.clone(), actor_name, self.clock.clone(), transitions, is_configured);
        Arc::new(gate)
    }

    fn ensure(&self, name: &BreakerName) {
        if let Err(error) = self.mailbox.cast(BreakersMessage::Ensure(name.clone())) {
            // The supervisor starts an actor for every breaker when it is back; until then the callers drive it.
            tracing::debug!(breaker = %name, %error, "the circuit breaker's actor is not running yet");
        }
    }

    fn collect(&self, table: &mut HashMap<BreakerName, Arc<Gate>>) {
        let now = self.clock.now();
        let mut collected_at = self.collected_at.lock().expect("only read and set");
        if collected_at.is_some_and(|last| now.since(last) < COLLECT_INTERVAL) {
            return;
        }
        *collected_at = Some(now);
        table.retain(|_, gate| {
            // Nobody can get hold of it meanwhile: that takes the table's lock.
            let is_held = 1 < Arc::strong_count(gate);
            let may_go = !is_held && gate.is_idle_for(IDLE_MIN, now);
            if let Some(actor) = gate.mailbox.actor().filter(|_| may_go) {
                actor.stop(Some(RETIRED.to_owned()));
            }
            !may_go
        });
    }

    fn read_table(&self) -> RwLockReadGuard<'_, HashMap<BreakerName, Arc<Gate>>> {
        self.table.read().expect("only inserts and removes")
    }

    fn write_table(&self) -> RwLockWriteGuard<'_, HashMap<BreakerName, Arc<Gate>>> {
        self.table.write().expect("only inserts and removes")
    }
}
