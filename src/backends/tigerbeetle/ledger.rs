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
use super::limits::Removed;
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

/// The longest that a change of a definition may take: it is some round trips, and may wait for another change.
const ADMIN_DEADLINE: Duration = Duration::from_secs(5);

/// How often a pending decrease is tried again if nothing completes here.
const DECREASE_RETRY: Duration = Duration::from_millis(250);

/// How long the end waits for what is on its way.
const CLOSE_MAX: Duration = Duration::from_secs(2);
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// A ledger that many servers share. See [`Backend`] for what it does.
pub struct TigerBeetleLedger {
    books: Arc<Books>,
    away: Arc<Away>,
    follower: Arc<Follower>,
    /// Where work goes on whose caller is gone.
    runtime: Handle,
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
        books.make_shared_accounts().await.map_err(refused)?;
        let follower = Follower::new(session.cluster_ns());
        Ok(Self {
            books: Arc::new(books),
            away: Arc::new(away),
            follower: Arc::new(follower),
            runtime: Handle::current(),
        })
    }

    /// Runs a change of definitions as a task of its own, so that it goes on when nobody waits for it.
    fn administer<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Reply<Result<T, BackendError>> {
        let task = self.runtime.spawn(async move {
            let limited = tokio::time::timeout(ADMIN_DEADLINE, work).await;
            let slow = |_| BackendError("TigerBeetle took too long; whether it was done is unknown".to_owned());
            limited.map_err(slow)?.map_err(BackendError::from)
        });
        Reply::Later(Box::pin(async move {
            task.await
                .unwrap_or_else(|error| Err(BackendError(format!("a change of the ledger was cut short: {error}"))))
        }))
    }

    /// Runs a question within the deadline.
    fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Reply<Result<T, BackendError>> {
        let bounded = within_deadline(&self.books.session, work, drop);
        Reply::Later(Box::pin(async move {
            bounded.await.map_err(|late| BackendError(late.to_string()))?.map_err(BackendError::from)
        }))
    }

    /// Runs what becomes of a lease within the deadline; it goes on if that is too short.
    fn conclude<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LeaseError>> + Send + 'static,
    ) -> Reply<Result<T, LeaseError>> {
        let bounded = within_deadline(&self.books.session, work, drop);
        Reply::Later(Box::pin(async move {
            bounded.await.unwrap_or_else(|late| Err(LeaseError::Backend(late.to_string())))
        }))
    }
}

/// Reserves within the deadline, or as the limits' policies say. A grant that comes later, or whose caller is gone, is
/// given back.
async fn reserve(books: Arc<Books>, away: Arc<Away>, request: Reserve) -> Result<Grant, Box<Refusal>> {
    let (session, request) = (Arc::clone(&books.session), Arc::new(request));
    if session.is_away()
        && let Health::Down(why) = session.health()
    {
        return away.reserve(&request, &books.limits, &why);
    }
    let (worker, asked) = (Arc::clone(&books), Arc::clone(&request));
    let work = async move { worker.reserve(&asked).await };
    let (giver, asked) = (Arc::clone(&books), Arc::clone(&request));
    let late = move |answer: Result<Grant, Box<Refusal>>| {
        if answer.is_ok() {
            tokio::spawn(async move { giver.give_back_late(&asked).await });
        }
    };
    let answer = within_deadline(&session, work, late).await;
    let why = match answer {
        Ok(Err(refusal)) => match refusal.reason {
            Reason::BackendError(why) => why,
            _ => return Err(refusal),
        },
        Ok(granted) => return granted,
        Err(late) => late.to_string(),
    };
    if session.is_away() {
        away.reserve(&request, &books.limits, &why)
    } else {
        Err(Box::new(Refusal::permanent(Reason::BackendError(why))))
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
        let Some(key) = registered.definition.pattern.as_key() else {
            return Reply::Now(Ok(Applied::InForce(LimitState::Active)));
        };
        let books = Arc::clone(&self.books);
        self.administer(async move {
            let Ok(limit) = books.limits.resolve(&key, books.clock.now()) else {
                return Ok(Applied::InForce(LimitState::Active)); // Deleted meanwhile.
            };
            let (terms, newer) = books.bring_up_to_date(&limit).await?;
            books.tell_freed(&limit);
            Ok(newer.map_or(Applied::InForce(terms.state()), |version| Applied::Superseded { version }))
        })
    }

    fn remove(&self, pattern: &KeyPattern) -> Reply<Result<(), BackendError>> {
        self.away.remove(pattern);
        let Some(Removed { version, limits }) = self.books.limits.remove(pattern) else { return Reply::Now(Ok(())) };
        let books = Arc::clone(&self.books);
        self.administer(async move {
            for (limit, is_watched) in limits {
                books.retire(limit.hash, version).await?;
                if is_watched {
                    books.observer.capacity_freed(&limit.key);
                    // What a template still covers goes on as its instance.
                    if books.limits.resolve(&limit.key, books.clock.now()).is_ok() {
                        books.limits.watch(&limit.key, true);
                    }
                }
            }
            Ok(())
        })
    }

    fn reserve(&self, request: &Reserve) -> Reply<Result<Grant, Box<Refusal>>> {
        Reply::Later(Box::pin(reserve(Arc::clone(&self.books), Arc::clone(&self.away), request.clone())))
    }

    fn restrain(&self, key: &Key, restraint: Restraint) -> Reply<Result<(), BackendError>> {
        let (books, key) = (Arc::clone(&self.books), key.clone());
        self.ask(async move { books.restrain(&key, restraint).await })
    }

    fn count_refusal(&self, refusal: &Refusal) {
        self.books.count_refusal(refusal);
    }

    fn peek(&self, amounts: &Amounts) -> Reply<Result<(), Box<Refusal>>> {
        let (books, amounts) = (Arc::clone(&self.books), amounts.clone());
        let bounded = within_deadline(&self.books.session, async move { books.peek(&amounts).await }, drop);
        let refused = |error: String| Box::new(Refusal::permanent(Reason::BackendError(error)));
        Reply::Later(Box::pin(async move { bounded.await.map_err(|late| refused(late.to_string()))? }))
    }

    fn complete(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        if self.away.lease(request.lease_id).is_some() {
            return Reply::Now(self.away.complete(request));
        }
        let (books, request) = (Arc::clone(&self.books), request.clone());
        self.conclude(async move { books.complete(&request).await })
    }

    fn give_back(&self, request: &Complete) -> Reply<Result<(), LeaseError>> {
        if self.away.lease(request.lease_id).is_some() {
            return Reply::Now(self.away.complete(request));
        }
        let (books, request) = (Arc::clone(&self.books), request.clone());
        self.conclude(async move { books.give_back(&request).await })
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
        self.ask(async move { books.usages(cursor, count).await })
    }

    fn settle(&self, key: &Key) -> Reply<Result<Settled, BackendError>> {
        let Some(limit) = self.books.limits.existing(key) else { return Reply::Now(Ok(Settled::Unknown)) };
        let books = Arc::clone(&self.books);
        self.ask(async move {
            let terms = books.settle_decrease(&limit).await?;
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
        if !self.books.tidy() {
            return true;
        }
        self.away.tidy();
        self.books.session.tick();
        if !self.books.session.is_away() && self.follower.begin() {
            let (books, follower) = (Arc::clone(&self.books), Arc::clone(&self.follower));
            self.runtime.spawn(async move {
                if let Err(trouble) = books.follow(&follower).await {
                    tracing::debug!(problem = trouble.text(), "could not look at what other servers did");
                }
                follower.done();
            });
        }
        false
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
        self.books.session.close();
    }
}
