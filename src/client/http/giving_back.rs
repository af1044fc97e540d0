//! What becomes of a request whose caller has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::HttpLimiter;
use super::wire::Wire;
use crate::client::giving_back::{give_back, may_be_granted};
use crate::client::limiter::{Attempt, Completion};
use crate::policy::{Grant, Refusal, Reserve};

/// The most requests that go on without a caller at once. Beyond it a lease ends when its last hold expires.
const FOLLOWED_MAX: usize = 1_024;

/// What a server reads last of a connection that hung up may come after what it reads of another.
const HANG_UP: Duration = Duration::from_millis(100);

/// A request under way. Dropped before its answer, it is given to `leave`.
pub(super) struct Followed<T, L: FnOnce(BoxFuture<'static, T>)> {
    /// `None` once it is answered.
    exchange: Option<BoxFuture<'static, T>>,
    leave: Option<L>,
}

impl<T, L: FnOnce(BoxFuture<'static, T>)> Followed<T, L> {
    pub(super) fn new(exchange: BoxFuture<'static, T>, leave: L) -> Self {
        Self { exchange: Some(exchange), leave: Some(leave) }
    }
}

impl<T, L: FnOnce(BoxFuture<'static, T>) + Unpin> Future for Followed<T, L> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let exchange = self.exchange.as_mut().expect("a future is not polled after it is ready");
        let polled = exchange.as_mut().poll(context);
        if polled.is_ready() {
            self.exchange = None;
        }
        polled
    }
}

impl<T, L: FnOnce(BoxFuture<'static, T>)> Drop for Followed<T, L> {
    fn drop(&mut self) {
        if let Some((exchange, leave)) = self.exchange.take().zip(self.leave.take()) {
            leave(exchange);
        }
    }
}

/// Goes on for callers that have gone.
#[derive(Clone)]
pub(super) struct GiveBack {
    wire: Arc<Wire>,
    tasks: Handle,
    turns: Arc<Semaphore>,
}

impl GiveBack {
    pub(super) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, tasks: Handle::current(), turns: Arc::new(Semaphore::new(FOLLOWED_MAX)) }
    }

    /// Waits for the answer of a reservation, and gives back what was or may have been granted.
    pub(super) fn follow(&self, exchange: BoxFuture<'static, Result<Grant, Box<Refusal>>>, request: Reserve) {
        let limiter = self.limiter();
        self.spawn(async move {
            if may_be_granted(&exchange.await) {
                give_back(&limiter, vec![Completion::never_ran(request.lease_id, &request.amounts)]).await;
            }
        });
    }

    /// The same for a batch.
    pub(super) fn follow_all(
        &self,
        exchange: BoxFuture<'static, Vec<Result<Grant, Box<Refusal>>>>,
        attempts: Vec<Attempt>,
    ) {
        let limiter = self.limiter();
        self.spawn(async move {
            let answers = exchange.await;
            let granted = attempts.iter().zip(&answers).filter(|(_, answer)| may_be_granted(answer));
            let granted = granted.map(|(Attempt { request, .. }, _)| request);
            let completions = granted.map(|request| Completion::never_ran(request.lease_id, &request.amounts));
            give_back(&limiter, completions.collect()).await;
        });
    }

    /// Gives back what may have been granted to one who hung up.
    pub(super) fn disclaim_soon(&self, request: Reserve) {
        let limiter = self.limiter();
        self.spawn(async move {
            tokio::time::sleep(HANG_UP).await;
            give_back(&limiter, vec![Completion::never_ran(request.lease_id, &request.amounts)]).await;
        });
    }

    /// Carries a completion to its end.
    pub(super) fn go_on<T: Send + 'static>(&self, exchange: BoxFuture<'static, T>) {
        self.spawn(async move { drop(exchange.await) });
    }

    fn limiter(&self) -> HttpLimiter {
        HttpLimiter { wire: Arc::clone(&self.wire), back: self.clone() }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else {
            tracing::warn!("too many callers have left: what one of them reserved ends when it expires");
            return;
        };
        self.tasks.spawn(async move {
            work.await;
            drop(turn);
        });
    }
}
