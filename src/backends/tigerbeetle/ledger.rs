//! The backend over a cluster of TigerBeetle: each request within its deadline, each limit's policy while the cluster
//! is away, and what comes too late given back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::away::Away;
use super::books::{Books, Trouble};
use super::connect::ConnectError;
use super::detach::within_deadline;
use super::following::Follower;
use super::in_time::reserve;
use super::keeping_up::keep_up;
use super::retiring::Retiring;
use super::session::Session;
use crate::backends::{
    Applied, Backend, BackendError, Health, LeaseView, Observer, Registered, Reply, SessionStatus, Settled, Totals,
    Usage, UsagePage,
};
use crate::clock::Clock;
use crate::config::{Settings, TigerBeetleSettings};
use crate::policy::{
    Amounts, Complete, Grant, Key, KeyPattern, LeaseError, LeaseId, LimitState, Moment, Reason, Refusal, Renew,
    Reserve, Restraint,
};

/// How often a pending decrease is tried again if nothing completes here.
const DECREASE_RETRY: Duration = Duration::from_millis(250);

/// How long the first accounts may take.
const FIRST_ACCOUNTS_MAX: Duration = Duration::from_secs(10);

/// How long the end waits for what is on its way.
const CLOSE_MAX: Duration = Duration::from_secs(2);
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// A ledger that many servers share. See [`Backend`] for what it does.
pub struct TigerBeetleLedger {
    pub(super) books: Arc<Books>,
    away: Arc<Away>,
    /// The definitions that were taken out here and not yet in the cluster.
    retiring: Arc<Retiring>,
    /// Where work goes on whose caller is gone.
    pub(super) runtime: Handle,
}

impl TigerBeetleLedger {
    /// Connects, waits for the first answer, and makes the accounts that all limits share. `observer` is told when a
    /// watched limit may have room again. Must be called on a tokio runtime with timers.
    ///
    /// # Errors
    /// A [`ConnectError`] that says what to do.
    pub async fn connect(
        tigerbeetle: &TigerBeetleSettings,
        settings: &Settings,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ConnectError> {
        let session = Session::connect(tigerbeetle, clock.clone()).await?;
        let away = Away::new(settings, clock.clone(), Arc::clone(&observer));
        let books = Books::new(Arc::clone(&session), tigerbeetle, settings, clock, observer);
        let refused = |trouble: Trouble| ConnectError::Refused { ledger: tigerbeetle.ledger, problem: trouble.text() };
        let silent = |_| Trouble::Lost("it stopped to answer".to_owned());
        let made = tokio::time::timeout(FIRST_ACCOUNTS_MAX, books.make_accounts(books.chart.shared_accounts())).await;
        made.map_err(silent).flatten().map_err(refused)?;
        let (books, runtime) = (Arc::new(books), Handle::current());
        runtime.spawn(keep_up(Arc::downgrade(&books), Follower::new(session.cluster_ns())));
        Ok(Self { books, away: Arc::new(away), retiring: Arc::default(), runtime })
    }
}

impl Backend for TigerBeetleLedger {
    fn kind(&self) -> &'static str {
        "tigerbeetle"
    }

    fn apply(&self, registered: &Arc<Registered>) -> Reply<Result<Applied, BackendError>> {
        if let Err(version) = self.books.limits.put(registered) {
            return Reply::Now(Ok(Applied::Superseded { version }));
        }
        self.away.apply(registered);
        self.retiring.forget(&registered.definition.pattern);
        let (books, registered) = (Arc::clone(&self.books), Arc::clone(registered));
        self.administer(async move {
            let newer = |version| Applied::Superseded { version };
            let Some(key) = registered.definition.pattern.as_key() else {
                let superseding = books.bring_template_up_to_date(&registered).await?;
                books.limits.close_covered_by(&registered.definition.pattern);
                return Ok(superseding.map_or(Applied::InForce(LimitState::Active), newer));
            };
            let Ok(limit) = books.limits.resolve(&key, books.clock.now()) else {
                return Ok(Applied::InForce(LimitState::Active)); // Deleted meanwhile.
            };
            match books.bring_up_to_date(&limit).await {
                Ok((terms, superseding)) => {
                    books.tell_freed(&limit);
                    Ok(superseding.map_or(Applied::InForce(terms.state()), newer))
                }
                Err(Trouble::Deleted { version, .. }) => Ok(newer(version)),
                Err(trouble) => Err(trouble),
            }
        })
    }

    fn remove(&self, pattern: &KeyPattern, version: u64) -> Reply<Result<(), BackendError>> {
        self.away.remove(pattern, version);
        if let Some(removed) = self.books.limits.remove(pattern) {
            for (limit, is_watched) in &removed {
                if *is_watched {
                    self.books.observer.capacity_freed(&limit.key);
                    // What a template still covers goes on as its instance.
                    self.watch(&limit.key, true);
                }
            }
            self.retiring.put(pattern, removed.into_iter().map(|(limit, _)| limit));
            self.books.follow_template(pattern, None);
        }
        let (books, retiring, pattern) = (Arc::clone(&self.books), Arc::clone(&self.retiring), pattern.clone());
        self.administer(async move { retiring.carry_out(&books, &pattern, version).await })
    }

    fn definition_of(&self, key: &Key) -> Option<Arc<Registered>> {
        self.books.limits.definition_of(key)
    }

    fn reserve(&self, request: &Reserve) -> Reply<Result<Grant, Box<Refusal>>> {
        reserve(&self.books, &self.away, request)
    }

    fn restrain(&self, key: &Key, restraint: Restraint) -> Reply<Result<(), BackendError>> {
        // First without the cluster, which may be away.
        self.away.restrain(key, restraint);
        if let Restraint::Pause { until } = restraint {
            self.books.pause(key, until);
            return Reply::Now(Ok(()));
        }
        let (books, key) = (Arc::clone(&self.books), key.clone());
        self.ask(async move { books.restrain(&key, restraint).await })
    }

    fn count_refusal(&self, refusal: &Refusal) {
        self.books.count_refusal(refusal);
    }

    fn peek(&self, amounts: &Amounts) -> Reply<Result<(), Box<Refusal>>> {
        if let Health::Down(why) = self.health() {
            return Reply::Now(self.away.peek(amounts, &self.books.limits, &why));
        }
        let (books, amounts) = (Arc::clone(&self.books), amounts.clone());
        let bounded = within_deadline(&self.books.session, async move { books.peek(&amounts).await }, drop);
        let refused = |error: String| Box::new(Refusal::permanent(Reason::BackendError(error)));
        Reply::Later(Box::pin(async move { bounded.await.map_err(|late| refused(late.to_string()))? }))
    }

    fn complete(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        let in_the_ledger = || {
            let (books, request) = (Arc::clone(&self.books), request.clone());
            self.conclude(async move { books.complete(&request).await })
        };
        if self.away.lease(request.lease_id).is_none() {
            return in_the_ledger();
        }
        if self.books.leases.has(request.lease_id) {
            // The cluster has granted it too; what it grants from now on is given back as it comes.
            drop(in_the_ledger());
        }
        Reply::Now(self.away.complete(request))
    }

    fn give_back(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        if self.away.lease(request.lease_id).is_some() {
            return Reply::Now(self.away.complete(request));
        }
        let (books, request) = (Arc::clone(&self.books), request.clone());
        self.conclude(async move { books.give_back(&request, true).await.map(drop) })
    }

    fn renew(&self, request: &Renew) -> Reply<Result<Moment, LeaseError>> {
        if self.away.lease(request.lease_id).is_some() {
            return Reply::Now(self.away.renew(request));
        }
        let (books, request) = (Arc::clone(&self.books), *request);
        self.conclude(async move { books.renew(&request).await })
    }

    fn lease(&self, lease_id: LeaseId) -> Reply<Result<Option<LeaseView>, BackendError>> {
        if let Some(lease) = self.away.lease(lease_id) {
            return Reply::Now(Ok(Some(lease)));
        }
        let books = Arc::clone(&self.books);
        self.ask(async move { books.lease_view(lease_id).await })
    }

    fn usage(&self, key: &Key) -> Reply<Result<Option<Usage>, BackendError>> {
        let (books, key) = (Arc::clone(&self.books), key.clone());
        self.ask(async move { books.usage(&key).await })
    }

    fn usages(&self, cursor: u64, count: usize) -> Reply<Result<UsagePage, BackendError>> {
        let books = Arc::clone(&self.books);
        self.administer(async move { books.usages(cursor, count).await })
    }

    fn settle(&self, key: &Key) -> Reply<Result<Settled, BackendError>> {
        let Some(limit) = self.books.limits.existing(key) else { return Reply::Now(Ok(Settled::Unknown)) };
        let books = Arc::clone(&self.books);
        self.ask(async move {
            let settled = Trouble::unless_deleted(books.settle_decrease(&limit).await)?;
            let Some(terms) = settled else { return Ok(Settled::Unknown) };
            let next_change = Some(books.clock.now().after(DECREASE_RETRY));
            Ok(if terms.standing.is_decreasing() { Settled::Decreasing { next_change } } else { Settled::Active })
        })
    }

    fn watch(&self, key: &Key, watched: bool) {
        // One that is watched is made here if need be, so that it stays.
        if watched {
            let _ = self.books.limits.resolve(key, self.books.clock.now());
        }
        self.books.limits.watch(key, watched);
    }

    fn sweep(&self) -> bool {
        let is_last = self.books.tidy();
        if is_last {
            self.away.tidy();
        }
        !is_last
    }

    fn totals(&self) -> Totals {
        self.books.totals()
    }

    fn health(&self) -> Health {
        self.books.session.health()
    }

    fn session(&self) -> Option<SessionStatus> {
        Some(self.away.add_to(self.books.status()))
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let books = Arc::clone(&self.books);
        Box::pin(async move {
            let all_done = async {
                while !books.is_quiet() {
                    tokio::time::sleep(CLOSE_POLL).await;
                }
            };
            if tokio::time::timeout(CLOSE_MAX, all_done).await.is_err() {
                tracing::warn!("some ends of leases did not reach TigerBeetle; what they hold ends by its own expiry");
            }
        })
    }
}

impl Drop for TigerBeetleLedger {
    fn drop(&mut self) {
        self.books.close();
    }
}
