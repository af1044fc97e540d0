//! One call to the cluster, on its way and back. It belongs to its client's link, not to whoever waits for it: it ends
//! when the cluster answers or the client is replaced, and gives its slot back then.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::answer::SessionError;
use super::vitals::Vitals;

/// What the cluster sent back.
pub(super) struct RawAnswer {
    pub(super) payload: Vec<u8>,
    pub(super) cluster_ns: u64,
}

/// How a call ended.
pub(super) type Outcome = Result<RawAnswer, SessionError>;

enum State {
    /// Nobody knows yet; who wants to know is woken.
    Waiting(Option<Waker>),
    /// It ended, and nobody has asked yet.
    Ended(Outcome),
    /// Whoever waited has the outcome.
    Taken,
}

/// What is asked, and its answer when it is there.
pub(super) struct Call {
    /// Where its slot is to be given back, if it has one.
    slot: Option<Arc<Vitals>>,
    state: Mutex<State>,
}

impl Call {
    pub(super) fn new(slot: Option<Arc<Vitals>>) -> Arc<Self> {
        Arc::new(Self { slot, state: Mutex::new(State::Waiting(None)) })
    }

    /// Ends it. Only the first outcome counts.
    pub(super) fn end(&self, outcome: Outcome) {
        let waker = {
            let mut state = self.state();
            let State::Waiting(waker) = &mut *state else { return };
            let waker = waker.take();
            *state = State::Ended(outcome);
            waker
        };
        if let Some(vitals) = &self.slot {
            vitals.give_slot_back();
        }
        // Last, because it may run code of others, whose panic is not to keep the rest of a group from its end.
        if let Some(waker) = waker {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a call. Dropped, the call goes on.
pub(super) struct Answering(Arc<Call>);

impl Answering {
    pub(super) fn of(call: Arc<Call>) -> Self {
        Self(call)
    }
}

impl Future for Answering {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.0.state();
        if let State::Waiting(waker) = &mut *state {
            match waker {
                Some(known) => known.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Ended(outcome) => Poll::Ready(outcome),
            State::Waiting(_) | State::Taken => panic!("a future that is over was polled again"),
        }
    }
}
