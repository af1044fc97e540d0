//! What the ledger tells by itself, passed on to the actors it concerns.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use super::limiters::Limiters;
use super::mailbox::Mailbox;
use super::registry::RegistryMessage;
use crate::backends::Observer;
use crate::policy::{Key, KeyPattern};

/// The definitions that another server changed, until the registry looks at them. No more than there are.
#[derive(Debug, Default)]
pub(super) struct ChangedElsewhere(Mutex<Changed>);

#[derive(Debug, Default)]
struct Changed {
    patterns: HashSet<KeyPattern>,
    /// A message is on its way: one is enough for all.
    is_told: bool,
}

impl ChangedElsewhere {
    /// Those that changed since the last time.
    pub(super) fn take(&self) -> HashSet<KeyPattern> {
        std::mem::take(&mut *self.lock()).patterns
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.0.lock().expect("only inserts, takes and sends")
    }
}

/// Those who are told.
pub(super) struct Told {
    pub(super) limiters: Arc<Limiters>,
    pub(super) registry: Arc<Mailbox<RegistryMessage>>,
    pub(super) changed: Arc<ChangedElsewhere>,
}

impl Observer for Told {
    fn capacity_freed(&self, key: &Key) {
        self.limiters.wake(key);
    }

    fn changed_elsewhere(&self, pattern: &KeyPattern) {
        let mut changed = self.changed.lock();
        changed.patterns.insert(pattern.clone());
        // A registry that takes no message now learns of it with the next one, or looks at everything when it is back.
        changed.is_told = changed.is_told || self.registry.cast(RegistryMessage::ChangedElsewhere).is_ok();
    }
}
