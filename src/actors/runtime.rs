//! What all actors of one runtime share. Nothing here is lost when an actor dies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::backend::{self, BackendMessage};
use super::breakers::Breakers;
use super::finish::DISCLAIMERS_MAX;
use super::limiters::Limiters;
use super::mailbox::Mailbox;
use super::observer::{ChangedElsewhere, Told};
use super::permits::Permits;
use super::registry::{self, RegistryMessage, Store};
use super::root::RootMessage;
use super::status::ActorStatus;
use crate::backends::{self, Backend, MakeLedger, Observer, OpenError};
use crate::call::CallBooks;
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::Classify;

/// How long the ledger may take at the end over what goes on by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One runtime.
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) limiters: Arc<Limiters>,
    pub(crate) breakers: Breakers,
    pub(crate) store: Arc<Store>,
    pub(crate) root: Mailbox<RootMessage>,
    pub(crate) registry: Arc<Mailbox<RegistryMessage>>,
    pub(super) changed_elsewhere: Arc<ChangedElsewhere>,
    pub(crate) backend_actor: Mailbox<BackendMessage>,
    /// Taken by messages to the backend whose answers are on their way.
    pub(super) backend_places: Arc<Semaphore>,
    #[cfg(feature = "server")]
    pub(crate) api: Mailbox<super::api::ApiMessage>,
    /// What is remembered of guarded calls.
    pub(crate) calls: CallBooks,
    /// What outcomes mean for circuit breakers.
    pub(crate) classify: Arc<dyn Classify>,
    /// What providers said that made no sense.
    pub(super) signals_ignored: AtomicU64,
    permits: Mutex<Permits>,
    /// Taken by those who see to the end of a reservation of which nobody knows whether it was granted.
    pub(super) disclaimers: Arc<Semaphore>,
    is_closing: AtomicBool,
}

impl Runtime {
    /// One with the books that `own` makes, or else with those of the settings.
    pub(crate) async fn new(
        name: String,
        settings: Settings,
        store: Arc<Store>,
        classify: Arc<dyn Classify>,
        own: Option<MakeLedger>,
    ) -> Result<Self, OpenError> {
        let clock = Clock::start();
        let permits = Mutex::new(Permits::new(settings.memory.max_leases));
        let limiters = Arc::new(Limiters::new(&name, settings.clone()));
        let registry = Arc::new(Mailbox::new(format!("{name}/registry"), registry::QUEUE_MAX));
        let changed_elsewhere = Arc::new(ChangedElsewhere::new(Arc::clone(&registry)));
        let observer: Arc<dyn Observer> =
            Arc::new(Told { limiters: Arc::clone(&limiters), changed: Arc::clone(&changed_elsewhere) });
        let backend = match own {
            Some(make) => make(clock.clone(), observer),
            None => backends::open(&settings, clock.clone(), observer).await?,
        };
        Ok(Self {
            backend,
            limiters,
            breakers: Breakers::new(&name, &settings, &clock),
            clock,
            calls: CallBooks::new(settings.max_breakers),
            settings,
            store,
            root: Mailbox::new(format!("{name}/root"), 64),
            registry,
            changed_elsewhere,
            backend_actor: Mailbox::new(format!("{name}/backend"), backend::QUEUE_MAX),
            backend_places: Arc::new(Semaphore::new(backend::UNDER_WAY_MAX)),
            #[cfg(feature = "server")]
            api: Mailbox::new(format!("{name}/api"), 64),
            name,
            classify,
            signals_ignored: AtomicU64::new(0),
            permits,
            disclaimers: Arc::new(Semaphore::new(DISCLAIMERS_MAX)),
            is_closing: AtomicBool::new(false),
        })
    }

    /// The permits of those who come back with an id. Nothing but the table is locked: a permit that it drops tells
    /// only its own breaker.
    pub(super) fn permits(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock().expect("nothing under this lock panics but a broken invariant")
    }

    /// Whether it is shutting down, or has failed for good.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// From now on nothing is granted, and nobody waits; leases can still be completed.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.limiters.lines.close();
    }

    /// Every actor is gone for good: what they held is let go of, and nobody waits for them any more.
    pub(crate) async fn ended(&self) {
        self.close();
        self.limiters.end();
        self.breakers.end();
        self.registry.end();
        self.backend_actor.end();
        #[cfg(feature = "server")]
        self.api.end();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.backend.close()).await.is_err() {
            tracing::warn!("what the ledger still had to do did not end in time, and is given up");
        }
        self.store.close().await;
        self.root.end(); // Last, for those who wait for the end of it all.
    }

    /// The tree of actors, as it stands.
    pub(crate) fn actors(&self) -> ActorStatus {
        let now = self.clock.now();
        let mut root = self.root.status(now);
        root.children = vec![
            self.registry.status(now),
            self.backend_actor.status(now),
            self.limiters.status(now),
            self.breakers.status(now),
        ];
        #[cfg(feature = "server")]
        root.children.push(self.api.status(now));
        root
    }
}
