//! What the ledger tells by itself, passed on to the actors it concerns.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use super::limiters::Limiters;
use super::mailbox::Mailbox;
use super::registry::RegistryMessage;
use crate::backends::Observer;
use crate::policy::{Key, KeyPattern};

/// The definitions that another server changed, until the registry looks at them. No more than there are.
#[derive(Debug)]
pub(super) struct ChangedElsewhere {
    registry: Arc<Mailbox<RegistryMessage>>,
    changed: Mutex<Changed>,
}

#[derive(Debug, Default)]
struct Changed {
    patterns: HashSet<KeyPattern>,
    /// A message is on its way: one is enough for all.
    is_told: bool,
}

impl ChangedElsewhere {
    pub(super) fn new(registry: Arc<Mailbox<RegistryMessage>>) -> Self {
        Self { registry, changed: Mutex::default() }
    }

    /// Those that changed since the last time.
    pub(super) fn take(&self) -> HashSet<KeyPattern> {
        std::mem::take(&mut *self.lock()).patterns
    }

    /// Tells the registry of those that it was not told of, if it takes a message now. One that does not is told as
    /// soon as it has started, or has handled a message of its full queue.
    pub(super) fn tell(&self) {
        let mut changed = self.lock();
        if !changed.is_told && !changed.patterns.is_empty() {
            changed.is_told = self.registry.cast(RegistryMessage::ChangedElsewhere).is_ok();
        }
    }

    fn insert(&self, pattern: KeyPattern) {
        self.lock().patterns.insert(pattern);
        self.tell();
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().expect("only inserts, takes and sends")
    }
}

/// Those who are told.
pub(super) struct Told {
    pub(super) limiters: Arc<Limiters>,
    pub(super) changed: Arc<ChangedElsewhere>,
}

impl Observer for Told {
    fn capacity_freed(&self, key: &Key) {
        self.limiters.wake(key);
    }

    fn changed_elsewhere(&self, pattern: &KeyPattern) {
        self.changed.insert(pattern.clone());
    }
}
