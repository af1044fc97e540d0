//! The limiter of a host whose Tollgate is a server, over pooled connections that are kept alive.
//!
//! Where an answer is missing, late or not that of a Tollgate, nobody knows whether the request was carried out, and
//! that is what it says: [`Reason::BackendError`], [`LeaseError::Backend`].
//!
//! **What leaving leaves behind.** A reservation whose future is dropped goes on by itself; what it was granted is
//! completed with nothing used, because the call never ran. An acquire hangs up, so that the server takes it out of the
//! line, and is completed in the same way a moment later, whether or not it was granted. This is tried several times
//! while the server does not answer; where that is in vain, the lease ends when its last hold expires.
//!
//! [`Reason::BackendError`]: crate::policy::Reason::BackendError

mod answer;
mod batch;
mod body;
mod giving_back;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use hyper::StatusCode;
use serde::Deserialize;

use self::answer::CompletedFields;
use self::body::{CompleteBody, RenewBody, ReserveBody};
use self::giving_back::{Followed, GiveBack};
use self::wire::{Patience, Wire};
use super::limiter::{Attempt, Completion, Limiter};
use super::settings::RemoteSettings;
use crate::actors::Wait;
use crate::clock::time_left;
use crate::policy::{Amounts, Grant, LeaseError, LeaseId, Mistake, Refusal, Renew};

/// Of the time until a deadline, what an acquire leaves for its answer to arrive: a fourth, and at most so much.
const WAY_BACK_MAX: Duration = Duration::from_millis(50);

/// Asks a Tollgate server. Clones share their connections.
#[derive(Clone)]
pub struct HttpLimiter {
    wire: Arc<Wire>,
    back: GiveBack,
}

impl fmt::Debug for HttpLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpLimiter").field(&self.wire.base()).finish()
    }
}

#[derive(Deserialize)]
struct RenewedFields {
    expires_in_ms: u64,
}

#[derive(Deserialize)]
struct LeaseFields {
    state: String,
    renew_within_ms: Option<u64>,
}

impl HttpLimiter {
    /// A limiter that asks the server named there. It connects when it is first used. Must be called on a tokio
    /// runtime.
    ///
    /// # Errors
    /// A URL that HTTP cannot carry.
    pub fn new(settings: &RemoteSettings) -> Result<Self, Mistake> {
        let wire = Arc::new(Wire::new(settings)?);
        Ok(Self { back: GiveBack::new(Arc::clone(&wire)), wire })
    }
}

impl Limiter for HttpLimiter {
    fn reserve(&self, attempt: Attempt) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move {
            let id = attempt.request.lease_id;
            let body = body::json(&ReserveBody::new(&attempt.request));
            let wire = Arc::clone(&self.wire);
            let exchange = async move {
                let told = wire.post("/v1/reserve", body, Patience::until(attempt.deadline)).await;
                answer::decision(id, told)
            };
            let back = self.back.clone();
            Followed::new(exchange.boxed(), move |exchange| back.follow(exchange, attempt.request)).await
        }
        .boxed()
    }

    fn acquire(&self, attempt: Attempt, wait: Wait) -> BoxFuture<'_, Result<Grant, Box<Refusal>>> {
        async move {
            let id = attempt.request.lease_id;
            let in_time = |deadline| {
                let left = time_left(deadline);
                left.saturating_sub((left / 4).min(WAY_BACK_MAX))
            };
            let max_wait = attempt.deadline.map_or(wait.max_wait, |deadline| wait.max_wait.min(in_time(deadline)));
            let body = body::json(&ReserveBody::waiting(&attempt.request, max_wait, wait.priority));
            let wire = Arc::clone(&self.wire);
            let patience = Patience { waits: max_wait, deadline: attempt.deadline };
            let exchange = async move { answer::decision(id, wire.post("/v1/acquire", body, patience).await) };
            let back = self.back.clone();
            Followed::new(exchange.boxed(), move |exchange| {
                drop(exchange); // It hangs up, and leaves the line.
                back.disclaim_soon(attempt.request);
            })
            .await
        }
        .boxed()
    }

    fn complete(&self, completion: Completion) -> BoxFuture<'_, Result<(), LeaseError>> {
        async move {
            let body = body::json(&CompleteBody::new(&completion));
            let wire = Arc::clone(&self.wire);
            let exchange = async move {
                let told = wire.post("/v1/complete", body, Patience::default()).await;
                answer::lease::<CompletedFields>(told, &completion.request.actuals).map(drop)
            };
            let back = self.back.clone();
            Followed::new(exchange.boxed(), move |exchange| back.go_on(exchange)).await
        }
        .boxed()
    }

    fn renew(&self, request: Renew) -> BoxFuture<'_, Result<Duration, LeaseError>> {
        async move {
            let told = self.wire.post("/v1/renew", body::json(&RenewBody::new(request)), Patience::default()).await;
            let renewed = answer::lease::<RenewedFields>(told, &Amounts::default())?;
            Ok(Duration::from_millis(renewed.expires_in_ms))
        }
        .boxed()
    }

    fn renew_within(&self, lease_id: LeaseId) -> BoxFuture<'_, Result<Option<Duration>, LeaseError>> {
        async move {
            let told = self.wire.get(&format!("/v1/leases/{lease_id}")).await;
            if told.as_ref().is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND) {
                return Err(LeaseError::Finished);
            }
            let lease = answer::lease::<LeaseFields>(told, &Amounts::default())?;
            if lease.state != "live" {
                return Err(LeaseError::Finished);
            }
            Ok(lease.renew_within_ms.map(Duration::from_millis))
        }
        .boxed()
    }

    fn reserve_batch(&self, attempts: Vec<Attempt>) -> BoxFuture<'_, Vec<Result<Grant, Box<Refusal>>>> {
        async move {
            let (wire, requests) = (Arc::clone(&self.wire), attempts.clone());
            let back = self.back.clone();
            let exchange = async move { batch::reserve(&wire, &attempts).await };
            Followed::new(exchange.boxed(), move |exchange| back.follow_all(exchange, requests)).await
        }
        .boxed()
    }

    fn complete_batch(&self, completions: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), LeaseError>>> {
        async move {
            let wire = Arc::clone(&self.wire);
            let back = self.back.clone();
            let exchange = async move { batch::complete(&wire, &completions).await };
            Followed::new(exchange.boxed(), move |exchange| back.go_on(exchange)).await
        }
        .boxed()
    }
}
