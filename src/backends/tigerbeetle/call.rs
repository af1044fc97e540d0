//! One packet on its way to the cluster and back. It belongs to its client's link, not to whoever waits for it: it ends
//! when the cluster answers or the client is replaced, and gives its slot back then.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tigerbeetle_unofficial::core::UserData;
use tigerbeetle_unofficial::core::util::SendAsBytesOwnedSlice;

use super::answer::SessionError;
use super::client::{Link, Place};

/// What the cluster sent back.
pub(super) struct RawAnswer {
    pub(super) payload: Vec<u8>,
    pub(super) cluster_ns: u64,
}

/// How a packet ended.
pub(super) type Outcome = Result<RawAnswer, SessionError>;

enum State {
    /// Nobody knows yet; who wants to know is woken.
    Waiting(Option<Waker>),
    /// It ended, and nobody has asked yet.
    Ended(Outcome),
    /// Whoever waited has the outcome.
    Taken,
}

/// A packet: the library holds it to fill in the answer, its link to end it if the library does not.
pub(super) struct Call {
    link: Arc<Link>,
    place: Place,
    has_slot: bool,
    events: SendAsBytesOwnedSlice,
    state: Mutex<State>,
}

impl Call {
    pub(super) fn new(link: Arc<Link>, place: Place, has_slot: bool, events: SendAsBytesOwnedSlice) -> Arc<Self> {
        Arc::new(Self { link, place, has_slot, events, state: Mutex::new(State::Waiting(None)) })
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
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
        self.link.forget(self.place);
        if self.has_slot {
            self.link.vitals().give_slot_back();
        }
        // Last, because it may run code of others.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserData for Call {
    fn data(&self) -> &[u8] {
        self.events.as_ref()
    }
}

/// Waits for the end of a packet. Dropped, the packet goes on.
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
