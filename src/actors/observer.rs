//! What the ledger tells by itself, passed on to the actors it concerns.

use std::sync::Arc;

use super::limiters::Limiters;
use super::mailbox::Mailbox;
use super::registry::RegistryMessage;
use crate::backends::Observer;
use crate::policy::{Key, KeyPattern};

/// Those who are told.
pub(super) struct Told {
    pub(super) limiters: Arc<Limiters>,
    pub(super) registry: Arc<Mailbox<RegistryMessage>>,
}

impl Observer for Told {
    fn capacity_freed(&self, key: &Key) {
        self.limiters.wake(key);
    }

    fn changed_elsewhere(&self, pattern: &KeyPattern) {
        if let Err(error) = self.registry.cast(RegistryMessage::ChangedElsewhere(pattern.clone())) {
            // A restart asks for all of them; until then only what is shown is old, not what is in force.
            tracing::debug!(key = %pattern, %error, "the registry was not told of another server's change");
        }
    }
}
