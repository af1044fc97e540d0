//! Waiting for capacity, from the caller's side.

use std::time::Duration;

use super::Limiters;
use super::grant::UnclaimedGrant;
use super::wanted::Wanted;
use crate::actors::mailbox::CallError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::{Key, Priority, Refusal};

/// How long a call waits for capacity, and how urgently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The longest wait.
    pub max_wait: Duration,
    /// Its class in the line.
    pub priority: Priority,
}

impl Wait {
    /// Waits up to `max_wait` with normal priority.
    #[must_use]
    pub fn at_most(max_wait: Duration) -> Self {
        Self { max_wait, priority: Priority::Normal }
    }

    /// The same with another priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

impl Limiters {
    /// Stands in the line of `key` until granted or refused; `None` when `wait` is over. Dropping the future leaves.
    pub(crate) async fn wait(
        &self,
        clock: &Clock,
        settings: &Settings,
        key: &Key,
        wanted: Wanted,
        wait: Wait,
    ) -> Option<Result<UnclaimedGrant, Box<Refusal>>> {
        let now = clock.now();
        let (place, mut answer) = match self.lines.join(key, wanted, wait.priority, now) {
            Ok(joined) => joined,
            Err(refusal) => return Some(Err(refusal)),
        };
        let leave = Leave { limiters: self, place: Some(place) };
        // A supervisor that is being restarted finds the line when it is back.
        if self.ensure(key) == Err(CallError::Overloaded) {
            return Some(Err(Box::new(settings.overloaded())));
        }
        let deadline = clock.instant_of(now.after(wait.max_wait));
        let answered = tokio::time::timeout_at(deadline, &mut answer).await;
        drop(leave);
        match answered {
            Ok(answered) => Some(answered.unwrap_or_else(|_| Err(Box::new(settings.overloaded())))),
            // It may have been granted in this very moment.
            Err(_) => answer.try_recv().ok(),
        }
    }
}

/// Leaves the line, and lets the next one have a look: it may fit where this one did not.
struct Leave<'a> {
    limiters: &'a Limiters,
    place: Option<super::lines::Place>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let key = self.place.as_ref().and_then(super::lines::Place::key);
        drop(self.place.take());
        if let Some(key) = key {
            self.limiters.wake(&key);
        }
    }
}
