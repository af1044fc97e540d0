//! The limits that have an actor, and the lines in front of them: state that outlives the supervisor and its children.

mod grant;
mod lines;
mod rate_limiter;
mod supervisor;
mod waiting;
mod wanted;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

use ractor::ActorRef;

pub(crate) use lines::Lines;
pub use rate_limiter::RateLimiterMessage;
pub(super) use supervisor::LimitersActor;
pub use waiting::Wait;
pub(super) use wanted::Wanted;

use super::mailbox::{CallError, Mailbox};
use super::status::ActorStatus;
use crate::config::Settings;
use crate::policy::{Key, Moment};
use rate_limiter::Limiter;

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
        // Held until it is done: who defines the limit in the meantime would find an actor that is leaving.
        let defined = self.defined.lock().expect("only inserts and removes");
        !defined.contains(key)
            && self.lines.retire_if_empty(key, || {
                self.table.write().expect("only inserts and removes").remove(key);
            })
    }
}
