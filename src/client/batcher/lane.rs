//! Carries out what a gathering says: one task for each batch on its way, and one for each timer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::gathering::{Gathering, Step};
use crate::client::settings::BatchSettings;

/// Requests of one kind, and the way to send them.
pub(super) struct Lane<I> {
    gathering: Mutex<Gathering<I>>,
    send: Box<dyn Fn(Vec<I>) -> BoxFuture<'static, ()> + Send + Sync>,
    flush: Duration,
    tasks: Handle,
}

impl<I: Send + 'static> Lane<I> {
    pub(super) fn new(
        settings: &BatchSettings,
        send: impl Fn(Vec<I>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let gathering = Mutex::new(Gathering::new(settings));
        Arc::new(Self { gathering, send: Box::new(send), flush: settings.flush, tasks: Handle::current() })
    }

    /// Sends it now, or with others.
    pub(super) fn push(self: &Arc<Self>, item: I) {
        let step = self.gathering().push(item);
        self.carry_out(step);
    }

    /// Sends what waits as soon as it can be.
    pub(super) fn hasten(self: &Arc<Self>) {
        let step = self.gathering().hasten();
        self.carry_out(step);
    }

    fn carry_out(self: &Arc<Self>, step: Step<I>) {
        for batch in step.batches {
            let on_its_way = OnItsWay(Arc::clone(self));
            let answered = (self.send)(batch);
            self.tasks.spawn(async move {
                let _on_its_way = on_its_way;
                answered.await;
            });
        }
        if let Some(timer) = step.timer {
            let lane = Arc::clone(self);
            self.tasks.spawn(async move {
                tokio::time::sleep(lane.flush).await;
                let step = lane.gathering().on_timer(timer);
                lane.carry_out(step);
            });
        }
    }

    /// Whoever panicked with it left it as it was: each change is one call.
    fn gathering(&self) -> MutexGuard<'_, Gathering<I>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch, until it is answered or its task has ended in another way.
struct OnItsWay<I: Send + 'static>(Arc<Lane<I>>);

impl<I: Send + 'static> Drop for OnItsWay<I> {
    fn drop(&mut self) {
        let step = self.0.gathering().on_answer();
        self.0.carry_out(step);
    }
}
