//! Limiters: supervises one `rate_limiter` per limit, and finds it for everybody.
//! Owns: which limits have an actor. The lines and the books are shared state that outlives it.
//! Parent: root. Restarts: yes; it then starts an actor for every defined limit and for every line.
//! Lost on restart: nothing but the restart count of its children.
//! Bound: [`QUEUE_MAX`] messages, taken in the mailbox. Talks to: its children; nobody upward.

mod grant;
mod lines;
mod rate_limiter;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

pub(crate) use grant::UnclaimedGrant;
pub(crate) use lines::Lines;
pub use rate_limiter::RateLimiterMessage;
pub use waiting::Wait;

use super::mailbox::{CallError, Mailbox};
use super::runtime::Runtime;
use super::status::ActorStatus;
use super::supervision::{self, Ended};
use crate::backends::Observer;
use crate::config::Settings;
use crate::policy::{ChildExit, Key, Moment, RestartIntensity, RestartLedger, RestartVerdict};
use rate_limiter::{Limiter, RateLimiter};

/// The most messages queued for the supervisor: one for each call that may join a line at once, and room for changes.
const QUEUE_MAX: usize = 16_384;

/// What the supervisor of all `rate_limiter` actors can be told.
#[derive(Debug)]
pub enum LimitersMessage {
    /// This limit needs an actor.
    Ensure(Key),
    /// The delay before a restart is over.
    Restart(Key),
}

/// The limits that have an actor, and their lines. Shared: it outlives the supervisor.
#[derive(Debug)]
pub(crate) struct Limiters {
    pub(crate) lines: Arc<Lines>,
    pub(super) mailbox: Mailbox<LimitersMessage>,
    name: String,
    table: RwLock<HashMap<Key, Arc<Limiter>>>,
    /// Limits that are defined by their own name, and so keep their actor.
    defined: Mutex<HashSet<Key>>,
}

impl Limiters {
    pub(super) fn new(name: &str, settings: Settings) -> Self {
        Self {
            lines: Arc::new(Lines::new(settings)),
            mailbox: Mailbox::new(format!("{name}/limiters"), QUEUE_MAX),
            name: name.to_owned(),
            table: RwLock::default(),
            defined: Mutex::default(),
        }
    }

    /// The limit has a definition of its own: it gets its actor now, which looks at what changed.
    pub(super) fn define(&self, key: Key) {
        self.defined.lock().expect("only inserts and removes").insert(key.clone());
        if let Err(error) = self.ensure(&key) {
            // The supervisor starts an actor for every defined limit when it is back.
            tracing::debug!(%key, %error, "the limit's actor is not running yet");
        }
    }

    /// The limit has no definition of its own any more: its actor stays while it has a line.
    pub(super) fn undefine(&self, key: &Key) {
        self.defined.lock().expect("only inserts and removes").remove(key);
        self.wake(key);
    }

    /// A definition changed that may concern many limits.
    pub(super) fn wake_all(&self) {
        self.read_table().values().for_each(|limiter| limiter.wake());
    }

    /// Tells the limit's actor to look at its line, if it has one.
    pub(super) fn wake(&self, key: &Key) {
        if let Some(limiter) = self.read_table().get(key) {
            limiter.wake();
        }
    }

    /// The same, and makes an actor if there is none.
    pub(super) fn ensure(&self, key: &Key) -> Result<(), CallError> {
        if let Some(limiter) = self.read_table().get(key) {
            limiter.wake();
            return Ok(());
        }
        self.mailbox.cast(LimitersMessage::Ensure(key.clone()))
    }

    /// Asks for an actor for everybody who began to need one while there was no supervisor to ask.
    pub(super) fn ensure_wanted(&self) {
        for key in self.wanted() {
            if let Err(error) = self.ensure(&key) {
                tracing::warn!(%key, %error, "the limit has no actor");
            }
        }
    }

    /// The present incarnation of a limit's actor.
    pub(crate) fn actor(&self, key: &Key) -> Option<ActorRef<RateLimiterMessage>> {
        self.read_table().get(key).and_then(|limiter| limiter.mailbox.actor())
    }

    pub(super) fn status(&self, now: Moment) -> ActorStatus {
        let mut status = self.mailbox.status(now);
        status.children = self.read_table().values().map(|limiter| limiter.mailbox.status(now)).collect();
        status.children.sort_by(|a, b| a.name.cmp(&b.name));
        status
    }

    /// The supervisor and its children are gone for good.
    pub(super) fn end(&self) {
        self.mailbox.end();
        self.table.write().expect("only inserts and removes").clear();
    }

    fn is_defined(&self, key: &Key) -> bool {
        self.defined.lock().expect("only inserts and removes").contains(key)
    }

    fn read_table(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Key, Arc<Limiter>>> {
        self.table.read().expect("only inserts and removes")
    }

    /// Everybody who needs an actor from the start.
    fn wanted(&self) -> HashSet<Key> {
        let mut wanted = self.defined.lock().expect("only inserts and removes").clone();
        wanted.extend(self.lines.keys());
        wanted
    }

    /// The entry of `key`, made now if it is missing; says whether it was.
    fn entry(&self, key: &Key) -> (Arc<Limiter>, bool) {
        let mut table = self.table.write().expect("only inserts and removes");
        if let Some(limiter) = table.get(key) {
            return (Arc::clone(limiter), false);
        }
        let limiter = Arc::new(Limiter::new(format!("{}/rate_limiter/{key}", self.name)));
        table.insert(key.clone(), Arc::clone(&limiter));
        (limiter, true)
    }

    /// Takes the limit out of the table if it is not needed; nobody can begin to wait in between.
    fn retire(&self, key: &Key) -> bool {
        if self.is_defined(key) {
            return false;
        }
        self.lines.retire_if_empty(key, || {
            self.table.write().expect("only inserts and removes").remove(key);
        })
    }
}

impl Observer for Limiters {
    fn capacity_freed(&self, key: &Key) {
        self.wake(key);
    }
}

/// The supervisor's behaviour.
#[derive(Debug)]
pub(in crate::actors) struct LimitersActor;

/// The supervisor's state.
pub(in crate::actors) struct LimitersState {
    runtime: Arc<Runtime>,
    restarts: RestartLedger,
    children: HashMap<ActorId, Key>,
}

impl Actor for LimitersActor {
    type Msg = LimitersMessage;
    type State = LimitersState;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Arc<Runtime>,
    ) -> Result<LimitersState, ActorProcessingErr> {
        // Children of an earlier incarnation were killed with it.
        let orphans = std::mem::take(&mut *runtime.limiters.table.write().expect("only inserts and removes"));
        // Whoever still waits for one of them gets an actor, which watches it again.
        orphans.keys().for_each(|key| runtime.backend.watch(key, false));
        let restarts = RestartLedger::new(RestartIntensity::default());
        let mut state = LimitersState { runtime, restarts, children: HashMap::new() };
        for key in state.runtime.limiters.wanted() {
            state.ensure(&myself, &key).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: LimitersMessage,
        state: &mut LimitersState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LimitersMessage::Ensure(key) => {
                state.runtime.limiters.mailbox.left();
                state.ensure(&myself, &key).await
            }
            LimitersMessage::Restart(key) => state.restart(&myself, &key).await,
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut LimitersState,
    ) -> Result<(), ActorProcessingErr> {
        match supervision::ended(&event) {
            Some(ended) => state.child_ended(&myself, &ended),
            None => Ok(()),
        }
    }
}

impl LimitersState {
    async fn ensure(&mut self, myself: &ActorRef<LimitersMessage>, key: &Key) -> Result<(), ActorProcessingErr> {
        match self.runtime.limiters.entry(key) {
            (limiter, true) => self.start(myself, key, &limiter).await,
            (limiter, false) => {
                limiter.wake();
                Ok(())
            }
        }
    }

    async fn start(
        &mut self,
        myself: &ActorRef<LimitersMessage>,
        key: &Key,
        limiter: &Arc<Limiter>,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = (Arc::clone(&self.runtime), key.clone(), Arc::clone(limiter));
        let name = Some(limiter.mailbox.name().to_owned());
        match Actor::spawn_linked(name, RateLimiter, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.children.insert(actor.get_id(), key.clone());
                limiter.connect(actor, self.runtime.clock.now());
                Ok(())
            }
            // One limit that does not start must not end all the others.
            Err(error) => self.schedule(myself, key, ChildExit::Failed, &error.to_string()),
        }
    }

    /// Starts the limit's actor again, unless it was retired in the meantime or runs already.
    async fn restart(&mut self, myself: &ActorRef<LimitersMessage>, key: &Key) -> Result<(), ActorProcessingErr> {
        let limiter = self.runtime.limiters.read_table().get(key).cloned();
        match limiter.filter(|limiter| limiter.mailbox.actor().is_none()) {
            Some(limiter) => self.start(myself, key, &limiter).await,
            None => Ok(()),
        }
    }

    fn child_ended(&mut self, myself: &ActorRef<LimitersMessage>, ended: &Ended) -> Result<(), ActorProcessingErr> {
        let Some(key) = self.children.remove(&ended.id) else { return Ok(()) };
        if self.runtime.is_closing() {
            return Ok(());
        }
        self.schedule(myself, &key, ended.exit, &ended.reason)
    }

    fn schedule(
        &mut self,
        myself: &ActorRef<LimitersMessage>,
        key: &Key,
        exit: ChildExit,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        match self.restarts.on_exit(exit, self.runtime.clock.now(), fastrand::u64(..)) {
            RestartVerdict::LeaveStopped => Ok(()),
            RestartVerdict::Restart { after } => {
                tracing::warn!(%key, reason, ?after, "a rate limiter died and is started again");
                if let Some(limiter) = self.runtime.limiters.read_table().get(key) {
                    limiter.mailbox.disconnect();
                }
                let key = key.clone();
                myself.send_after(after, move || LimitersMessage::Restart(key));
                Ok(())
            }
            RestartVerdict::Escalate => Err(format!("rate limiters die too often, the last for: {reason}").into()),
        }
    }
}
