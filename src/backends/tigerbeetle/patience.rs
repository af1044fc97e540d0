//! Going on while the cluster does not answer, for what has to be done or known in the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::Session;
use crate::clock::Clock;
use crate::policy::Moment;

/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// As long as something is tried. What a lease holds ends by itself then at the latest, but for long streams.
const PERSISTENCE: Duration = Duration::from_secs(600);

/// Room for those who go on.
pub(super) struct Patience {
    session: Arc<Session>,
    clock: Clock,
    places: Arc<Semaphore>,
    places_max: usize,
}

/// One who goes on.
pub(super) struct Persevering<'a> {
    patience: &'a Patience,
    give_up_at: Moment,
    place: Option<OwnedSemaphorePermit>,
}

impl Patience {
    /// As many may wait for the cluster as may be on their way to it.
    pub(super) fn new(session: Arc<Session>, clock: Clock, places_max: usize) -> Self {
        Self { session, clock, places: Arc::new(Semaphore::new(places_max)), places_max }
    }

    pub(super) fn begin(&self) -> Persevering<'_> {
        Persevering { patience: self, give_up_at: self.clock.now().after(PERSISTENCE), place: None }
    }

    /// Whether nobody goes on.
    pub(super) fn is_idle(&self) -> bool {
        self.places.available_permits() == self.places_max
    }
}

impl Persevering<'_> {
    /// Pauses before another try; says whether there is one.
    pub(super) async fn try_again(&mut self) -> bool {
        let Patience { session, clock, places, .. } = self.patience;
        self.place = self.place.take().or_else(|| Arc::clone(places).try_acquire_owned().ok());
        if self.place.is_none() || self.give_up_at < clock.now() || session.is_closed() {
            return false;
        }
        let pause = {
            // Whoever waits for the answer may do so outside the runtime that has the timers.
            let _runtime = session.runtime.enter();
            tokio::time::sleep(PAUSE)
        };
        pause.await;
        true
    }
}
