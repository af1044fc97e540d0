//! What the ledger does within its deadlines, and what goes on after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::away::Away;
use super::books::{Books, Trouble};
use super::detach::within_deadline;
use super::ledger::TigerBeetleLedger;
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

/// Reserves within the deadline, or as the limits' policies say. What is granted later, or whose caller is gone, or may
/// have been granted, is given back.
pub(super) async fn reserve(books: Arc<Books>, away: Arc<Away>, request: Reserve) -> Result<Grant, Box<Refusal>> {
    let (session, request) = (Arc::clone(&books.session), Arc::new(request));
    if session.is_away()
        && let Health::Down(why) = session.health()
    {
        return away.reserve(&request, &books.limits, &why);
    }
    if away.lease(request.lease_id).is_some_and(|lease| lease.is_live) {
        return away.again(&request); // It was granted while the cluster was away.
    }
    let is_unknown = Arc::new(AtomicBool::new(false));
    let work = {
        let (books, request, is_unknown) = (Arc::clone(&books), Arc::clone(&request), Arc::clone(&is_unknown));
        async move { books.reserve(&request, &is_unknown).await }
    };
    let late = {
        let (books, request, is_unknown) = (Arc::clone(&books), Arc::clone(&request), Arc::clone(&is_unknown));
        move |answer: Result<Grant, Box<Refusal>>| {
            if answer.is_ok() || is_unknown.load(Ordering::Relaxed) {
                give_back_later(books, request, answer.is_ok());
            }
        }
    };
    let why = match within_deadline(&session, work, late).await {
        Ok(Err(refusal)) => match refusal.reason {
            Reason::BackendError(why) => why,
            _ => return Err(refusal),
        },
        Ok(granted) => return granted,
        Err(late) => late.to_string(),
    };
    if is_unknown.load(Ordering::Relaxed) {
        give_back_later(Arc::clone(&books), Arc::clone(&request), false);
    }
    away.reserve(&request, &books.limits, &why)
}

fn give_back_later(books: Arc<Books>, request: Arc<Reserve>, is_granted: bool) {
    let (runtime, detached) = (books.session.runtime.clone(), Arc::clone(&books.detached));
    runtime.spawn(async move {
        let _detached = detached;
        books.give_back_later(&request, is_granted).await;
    });
}
