//! What all actors of one runtime share, and the decisions that are made in the caller's own task. Nothing here is lost
//! when an actor dies.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::backend::{self, BackendMessage};
use super::breakers::{Breakers, Permit};
use super::finish::Granted;
use super::limiters::{Limiters, Wait};
use super::mailbox::Mailbox;
use super::registry::{self, RegistryMessage, Store};
use super::root::RootMessage;
use super::status::ActorStatus;
use crate::backends::{self, Backend, MakeLedger, Observer, OpenError};
use crate::call::CallBooks;
use crate::clock::Clock;
use crate::config::Settings;
use crate::policy::{Amounts, Classify, DeniedKey, ExpiringTable, Grant, Key, LeaseId, Reason, Refusal, Reserve};

/// How long the permit of a call is kept whose caller is to come back with its id. The call of one that does not was
/// cancelled, for its breaker.
const PERMIT_LIFETIME: Duration = Duration::from_secs(3_600);

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
    pub(crate) registry: Mailbox<RegistryMessage>,
    pub(crate) backend_actor: Mailbox<BackendMessage>,
    #[cfg(feature = "server")]
    pub(crate) api: Mailbox<super::api::ApiMessage>,
    /// What is remembered of guarded calls.
    pub(crate) calls: CallBooks,
    /// What outcomes mean for circuit breakers.
    pub(crate) classify: Arc<dyn Classify>,
    /// What providers said that made no sense.
    pub(super) signals_ignored: AtomicU64,
    permits: Mutex<ExpiringTable<LeaseId, Permit>>,
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
        let permits = Mutex::new(ExpiringTable::new(PERMIT_LIFETIME, settings.memory.max_leases));
        let limiters = Arc::new(Limiters::new(&name, settings.clone()));
        let observer: Arc<dyn Observer> = Arc::<Limiters>::clone(&limiters);
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
            registry: Mailbox::new(format!("{name}/registry"), registry::QUEUE_MAX),
            backend_actor: Mailbox::new(format!("{name}/backend"), backend::QUEUE_MAX),
            #[cfg(feature = "server")]
            api: Mailbox::new(format!("{name}/api"), 64),
            name,
            classify,
            signals_ignored: AtomicU64::new(0),
            permits,
            is_closing: AtomicBool::new(false),
        })
    }

    /// The permits of those who come back with an id. Nothing but the table is locked: a permit that it drops tells
    /// only its own breaker.
    pub(super) fn permits(&self) -> MutexGuard<'_, ExpiringTable<LeaseId, Permit>> {
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

    /// Grants all that is asked for, or charges nothing.
    pub(crate) async fn reserve(&self, request: &Reserve) -> Result<Granted, Box<Refusal>> {
        self.decide(request).await.inspect_err(|refusal| self.backend.count_refusal(refusal))
    }

    /// Answers as [`Self::reserve`] would, and charges nothing.
    pub(crate) async fn peek(&self, amounts: &Amounts) -> Result<(), Box<Refusal>> {
        let occupied = self.limiters.lines.occupied(amounts, self.clock.now());
        if occupied.is_empty() {
            return self.backend.peek(amounts).get().await;
        }
        Err(self.refuse_in_line(amounts, occupied).await)
    }

    /// Reserves now or as soon as there is room.
    pub(crate) async fn acquire(&self, request: Arc<Reserve>, wait: Wait) -> Result<Granted, Box<Refusal>> {
        self.decide_or_wait(request, wait).await.inspect_err(|refusal| self.backend.count_refusal(refusal))
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

    async fn decide(&self, request: &Reserve) -> Result<Granted, Box<Refusal>> {
        if self.is_closing() {
            return Err(Box::new(self.settings.overloaded()));
        }
        let permit = match self.enter(request) {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse_at_breaker(request, refusal).await,
        };
        if request.amounts.is_empty() {
            return self.decide_without_limits(request, permit);
        }
        if self.limiters.lines.waiting() != 0 {
            let occupied = self.limiters.lines.occupied(&request.amounts, self.clock.now());
            if !occupied.is_empty() && !self.knows(request).await {
                return Err(self.refuse_in_line(&request.amounts, occupied).await);
            }
        }
        let grant = self.backend.reserve(request).get().await?;
        Ok(Granted { grant, permit })
    }

    /// A call that only goes through a breaker holds nothing in the books: its lease is over as soon as it is granted.
    fn decide_without_limits(&self, request: &Reserve, permit: Option<Permit>) -> Result<Granted, Box<Refusal>> {
        if permit.is_none() {
            let problem = "`requirements` has 0 entries; name at least one limit, or a circuit breaker";
            return Err(Box::new(Refusal::permanent(Reason::InvalidRequest(problem.to_owned()))));
        }
        let reserved_at_unix_ms = self.clock.unix_ms_at(self.clock.now());
        Ok(Granted { grant: Grant { lease_id: request.lease_id, reserved_at_unix_ms }, permit })
    }

    async fn decide_or_wait(&self, request: Arc<Reserve>, wait: Wait) -> Result<Granted, Box<Refusal>> {
        let refusal = match self.decide(&request).await {
            Err(refusal) if refusal.reason.is_worth_waiting() => refusal,
            answer => return answer,
        };
        let hopeless = refusal.denied.iter().any(|denied| wait.max_wait < denied.wait_at_least);
        let Some(key) = line_to_join(&refusal).filter(|_| !hopeless && !wait.max_wait.is_zero()) else {
            return Err(refusal);
        };
        let waited = self.limiters.wait(&self.clock, &self.settings, &key, Arc::clone(&request), wait).await;
        match waited {
            Some(Ok(unclaimed)) => {
                // Not before: a probe is not kept from others by one who stands in line.
                let permit = self.enter(&request)?;
                Ok(Granted { grant: unclaimed.claim(), permit })
            }
            Some(Err(refusal)) => Err(refusal),
            // A last try: what frees at this very moment is in time, and a refusal says how things stand now.
            None => match self.decide(&request).await {
                // It was served as it left, and its grant given back: to its caller it was never granted.
                Err(refusal) if refusal.reason == Reason::LeaseFinished => {
                    Err(self.refuse_in_line(&request.amounts, vec![(key, Duration::ZERO)]).await)
                }
                answer => answer,
            },
        }
    }

    /// Asks the request's circuit breaker, if it names one.
    fn enter(&self, request: &Reserve) -> Result<Option<Permit>, Box<Refusal>> {
        let Some(name) = &request.breaker else { return Ok(None) };
        let gate = self.breakers.find_or_make(name).map_err(|_| Box::new(self.settings.overloaded()))?;
        let entered = Permit::enter(&gate);
        entered.map(Some).map_err(|open| Box::new(Refusal::breaker_open(name.clone(), open.retry_after)))
    }

    /// The answer to a call whose breaker is open, unless another comes before that.
    async fn refuse_at_breaker(&self, request: &Reserve, open: Box<Refusal>) -> Result<Granted, Box<Refusal>> {
        if self.knows(request).await {
            let grant = self.backend.reserve(request).get().await?;
            return Ok(Granted { grant, permit: None });
        }
        match self.backend.peek(&request.amounts).get().await {
            Err(refusal) if refusal.reason.precedes_breaker() => Err(refusal),
            _ => Err(open),
        }
    }

    /// Whether the request's lease is known: then its own answer comes before any other.
    async fn knows(&self, request: &Reserve) -> bool {
        matches!(self.backend.lease(request.lease_id).get().await, Ok(Some(_)))
    }

    /// The refusal of a call that would overtake those who wait in line.
    async fn refuse_in_line(&self, amounts: &Amounts, occupied: Vec<(Key, Duration)>) -> Box<Refusal> {
        let mut known: HashMap<Key, DeniedKey> = HashMap::new();
        let mut reason = Reason::Denied;
        match self.backend.peek(amounts).get().await {
            Ok(()) => {}
            Err(refusal) if matches!(refusal.reason, Reason::Denied | Reason::LimitPaused(_)) => {
                reason = refusal.reason;
                known.extend(refusal.denied.into_iter().map(|denied| (denied.key.clone(), denied)));
            }
            Err(refusal) => return refusal,
        }
        for (key, wait) in occupied {
            if let Some(denied) = known.get_mut(&key) {
                denied.retry_after = denied.retry_after.max(wait);
                continue;
            }
            let usage = self.backend.usage(&key).get().await.ok().flatten();
            let (capacity, available) = usage.map_or((0, 0), |usage| (usage.capacity, usage.available));
            let retry_after = wait.max(Duration::from_millis(1));
            let denied =
                DeniedKey { key: key.clone(), capacity, available, retry_after, wait_at_least: Duration::ZERO };
            known.insert(key, denied);
        }
        let in_order = amounts.iter().filter_map(|amount| known.remove(&amount.key)).collect();
        Box::new(Refusal::of_keys(reason, in_order))
    }
}

/// The key that stops a refused call: the one that will take longest.
fn line_to_join(refusal: &Refusal) -> Option<Key> {
    match &refusal.reason {
        Reason::LimitDecreasing(key) => Some(key.clone()),
        _ => refusal.denied.iter().max_by_key(|denied| denied.retry_after).map(|denied| denied.key.clone()),
    }
}
