//! What the ledger does within its deadlines, and what goes on after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::away::Away;
use super::books::{Books, Trouble};
use super::detach::within_deadline;
use super::ledger::TigerBeetleLedger;
use super::reserve::refuse;
use super::session::Session;
use crate::backends::{BackendError, Health, Reply};
use crate::policy::{Grant, LeaseError, Reason, Refusal, Reserve};

/// The longest that a change of a definition may take, and a look at many limits: they are some round trips, and may
/// wait for another change.
const ADMIN_DEADLINE: Duration = Duration::from_secs(5);

impl TigerBeetleLedger {
    /// Runs a change of definitions as a task of its own, so that it goes on when nobody waits for it.
    pub(super) fn administer<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Reply<Result<T, BackendError>> {
        let detached = Arc::clone(&self.books.detached);
        let task = self.runtime.spawn(async move {
            let limited = tokio::time::timeout(ADMIN_DEADLINE, work).await;
            drop(detached);
            let slow = |_| BackendError("TigerBeetle took too long; whether it was done is unknown".to_owned());
            limited.map_err(slow)?.map_err(BackendError::from)
        });
        Reply::Later(Box::pin(async move {
            let cut_short = |error| BackendError(format!("a request to TigerBeetle was cut short: {error}"));
            task.await.map_err(cut_short)?
        }))
    }

    /// Runs a question within the deadline.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Reply<Result<T, BackendError>> {
        let bounded = within_deadline(&self.books.session, work, drop);
        Reply::Later(Box::pin(async move {
            bounded.await.map_err(|late| BackendError(late.to_string()))?.map_err(BackendError::from)
        }))
    }

    /// Runs what becomes of a lease within the deadline; it goes on if that is too short.
    pub(super) fn conclude<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LeaseError>> + Send + 'static,
    ) -> Reply<Result<T, LeaseError>> {
        let detached = Arc::clone(&self.books.detached);
        let counted = async move {
            let _detached = detached;
            work.await
        };
        let bounded = within_deadline(&self.books.session, counted, drop);
        Reply::Later(Box::pin(async move {
            bounded.await.unwrap_or_else(|late| Err(LeaseError::Backend(late.to_string())))
        }))
    }
}

/// A reservation that is sent to the cluster. One piece, so that what is on its way touches little memory.
struct Asked {
    books: Arc<Books>,
    away: Arc<Away>,
    request: Reserve,
    /// Whether it may have been granted by an attempt that nobody answered.
    is_unknown: AtomicBool,
}

/// Reserves within the deadline, or as the limits' policies say. What is granted later, or whose caller is gone, or may
/// have been granted, is given back.
pub(super) fn reserve(books: &Arc<Books>, away: &Arc<Away>, request: &Reserve) -> Reply<Result<Grant, Box<Refusal>>> {
    if books.session.is_away()
        && let Health::Down(why) = books.session.health()
    {
        // A call that has ended is not made again by a duplicate.
        let is_over =
            books.leases.get(request.lease_id).is_some_and(|lease| !lease.is_live(books.session.cluster_ns()));
        return Reply::Now(if is_over {
            Err(refuse(Reason::LeaseFinished))
        } else {
            away.reserve(request, &books.limits, &why)
        });
    }
    if away.lease(request.lease_id).is_some_and(|lease| lease.is_live) {
        return Reply::Now(away.again(request)); // It was granted while the cluster was away.
    }
    let (books, away, request) = (Arc::clone(books), Arc::clone(away), request.clone());
    let asked = Arc::new(Asked { books, away, request, is_unknown: AtomicBool::new(false) });
    Reply::Later(Box::pin(asked.answer()))
}

impl Asked {
    async fn answer(self: Arc<Self>) -> Result<Grant, Box<Refusal>> {
        let work = {
            let asked = Arc::clone(&self);
            async move { asked.books.reserve(&asked.request, &asked.is_unknown).await }
        };
        let late = {
            let asked = Arc::clone(&self);
            move |answer: Result<Grant, Box<Refusal>>| {
                if answer.is_ok() || asked.is_unknown() {
                    asked.give_back_later(answer.is_ok());
                }
            }
        };
        let why = match within_deadline(&self, work, late).await {
            Ok(Err(refusal)) => match refusal.reason {
                Reason::BackendError(why) => why,
                _ => return Err(refusal),
            },
            Ok(granted) => return granted,
            Err(late) => late.to_string(),
        };
        if self.is_unknown() {
            Arc::clone(&self).give_back_later(false);
        }
        self.away.reserve(&self.request, &self.books.limits, &why)
    }

    fn is_unknown(&self) -> bool {
        self.is_unknown.load(Ordering::Relaxed)
    }

    fn give_back_later(self: Arc<Self>, is_granted: bool) {
        let (runtime, detached) = (self.books.session.runtime.clone(), Arc::clone(&self.books.detached));
        runtime.spawn(async move {
            let _detached = detached;
            self.books.give_back_later(&self.request, is_granted).await;
        });
    }
}

impl AsRef<Session> for Asked {
    fn as_ref(&self) -> &Session {
        &self.books.session
    }
}
