//! Every line of one runtime: who waits for which limit. It outlives the actors that serve it, so that a `rate_limiter`
//! that dies loses nobody's place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use super::grant::UnclaimedGrant;
use super::wanted::Wanted;
use crate::config::Settings;
use crate::policy::{Amounts, Candidate, Key, Line, Moment, Priority, Refusal, Ticket};

/// What a waiter is told in the end.
pub(crate) type Answer = Result<UnclaimedGrant, Box<Refusal>>;

/// A call that waits.
#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    answer: oneshot::Sender<Answer>,
    /// How many lines the order of other lines has sent it to since it last lacked capacity.
    detours: usize,
}

/// The next thing to do for a line.
#[derive(Debug)]
pub(super) enum Turn {
    /// Nobody waits.
    Nobody,
    /// Try this one.
    Try(Candidate, Wanted),
    /// The one whose turn it was went to this other line, because somebody there is before it.
    WentTo(Key),
}

#[derive(Debug, Default)]
struct State {
    lines: HashMap<Key, (Line<Waiter>, Option<Moment>)>,
    places: HashMap<Ticket, (Key, Candidate)>,
    next_ticket: u64,
    is_closed: bool,
}

/// The lines of one runtime. See [`Line`] for the order inside one.
#[derive(Debug)]
pub(crate) struct Lines {
    state: Mutex<State>,
    settings: Settings,
    /// How many wait in all; read without the lock by every reservation.
    waiting: AtomicUsize,
}

impl Lines {
    pub(super) fn new(settings: Settings) -> Self {
        Self { state: Mutex::default(), settings, waiting: AtomicUsize::new(0) }
    }

    /// How many wait in all lines.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// How many wait for this limit.
    pub(crate) fn waiting_for(&self, key: &Key) -> usize {
        if self.waiting() == 0 { 0 } else { self.lock().lines.get(key).map_or(0, |(line, _)| line.len()) }
    }

    /// The keys among `amounts` that somebody waits for, and how long the one in front is expected to wait: a call
    /// that did not wait may not overtake it.
    pub(crate) fn occupied(&self, amounts: &Amounts, now: Moment) -> Vec<(Key, Duration)> {
        if self.waiting() == 0 {
            return Vec::new();
        }
        let state = self.lock();
        let wait = |ready_at: &Option<Moment>| ready_at.map_or(Duration::ZERO, |ready_at| ready_at.since(now));
        let lines = amounts.iter().filter_map(|amount| state.lines.get_key_value(&amount.key));
        lines.map(|(key, (_, ready_at))| (key.clone(), wait(ready_at))).collect()
    }

    /// Takes a place at the end of the line of `key`; the answer arrives at the receiver.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &Key,
        wanted: Wanted,
        priority: Priority,
        now: Moment,
    ) -> Result<(Place, oneshot::Receiver<Answer>), Box<Refusal>> {
        let mut state = self.lock();
        let in_line = state.lines.get(key).map_or(0, |(line, _)| line.len());
        let is_full = self.settings.max_waiters <= in_line || self.settings.max_waiters_total <= state.places.len();
        if is_full || state.is_closed {
            return Err(Box::new(self.settings.overloaded()));
        }
        state.next_ticket += 1;
        let ticket = Ticket(state.next_ticket);
        let candidate = Candidate { ticket, joined_at: now, priority, tenant: wanted.request.labels.tenant.clone() };
        let (answer, receiver) = oneshot::channel();
        self.enter(&mut state, key, candidate, Waiter { wanted, answer, detours: 0 });
        Ok((Place { lines: Arc::clone(self), ticket }, receiver))
    }

    /// Whose turn it is in the line of `key`. One who would pass others waiting for another of its keys goes there.
    pub(super) fn next_turn(&self, key: &Key) -> Turn {
        let turns = &self.settings.turns;
        let mut state = self.lock();
        loop {
            let Some((line, _)) = state.lines.get(key) else { return Turn::Nobody };
            let (candidate, waiter) = line.head(turns).expect("a line that is kept has somebody in it");
            let candidate = candidate.clone();
            if waiter.answer.is_closed() {
                self.leave(&mut state, candidate.ticket);
                continue;
            }
            // Two lines may order two callers differently (their tenants take turns in each), so that they could send
            // each other back and forth; who has been through all of its lines goes by capacity alone.
            let has_been_round = waiter.wanted.request.amounts.len() <= waiter.detours;
            let is_behind = |other: &Key| {
                other != key && state.lines.get(other).is_some_and(|(line, _)| !line.would_lead(&candidate, turns))
            };
            let other = waiter
                .wanted
                .request
                .amounts
                .iter()
                .find(|amount| is_behind(&amount.key))
                .map(|amount| amount.key.clone());
            match other.filter(|_| !has_been_round) {
                None => return Turn::Try(candidate, waiter.wanted.clone()),
                Some(other) => {
                    self.relocate(&mut state, candidate.ticket, &other, |detours| detours + 1);
                    return Turn::WentTo(other);
                }
            }
        }
    }

    /// The one in front of `key` lacks capacity there, and expects it at `ready_at`.
    pub(super) fn blocked(&self, key: &Key, ready_at: Moment) {
        if let Some((_, known)) = self.lock().lines.get_mut(key) {
            *known = Some(ready_at);
        }
    }

    /// Sends a waiter to the line of the key whose capacity it lacks.
    pub(super) fn send_to(&self, candidate: &Candidate, other: &Key) {
        self.relocate(&mut self.lock(), candidate.ticket, other, |_| 0);
    }

    /// Ends the wait of one whose turn it was. What nobody takes is given back by the grant itself.
    pub(super) fn answer(&self, candidate: &Candidate, answer: Answer) {
        let waiter = self.remove(&mut self.lock(), candidate.ticket, true);
        if let Some(waiter) = waiter {
            let _ = waiter.answer.send(answer);
        }
    }

    /// Whether anybody waits for `key`; if not, runs `retire` before anybody can begin to.
    pub(super) fn retire_if_empty(&self, key: &Key, retire: impl FnOnce()) -> bool {
        let state = self.lock();
        let is_empty = !state.lines.contains_key(key);
        if is_empty {
            retire();
        }
        is_empty
    }

    /// The keys that somebody waits for.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.lock().lines.keys().cloned().collect()
    }

    /// Answers everybody that the runtime is shutting down, and lets nobody in any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let tickets: Vec<_> = state.places.keys().copied().collect();
        for ticket in tickets {
            if let Some(waiter) = self.remove(&mut state, ticket, false) {
                let _ = waiter.answer.send(Err(Box::new(self.settings.overloaded())));
            }
        }
    }

    fn enter(&self, state: &mut State, key: &Key, candidate: Candidate, waiter: Waiter) {
        state.places.insert(candidate.ticket, (key.clone(), candidate.clone()));
        let (line, _) = state.lines.entry(key.clone()).or_default();
        line.join(candidate, waiter, &self.settings.turns);
        self.waiting.store(state.places.len(), Ordering::Release);
    }

    fn leave(&self, state: &mut State, ticket: Ticket) {
        drop(self.remove(state, ticket, false));
    }

    fn remove(&self, state: &mut State, ticket: Ticket, served: bool) -> Option<Waiter> {
        let (key, candidate) = state.places.remove(&ticket)?;
        let (line, ready_at) = state.lines.get_mut(&key).expect("a place is in a line");
        let turns = &self.settings.turns;
        let waiter = if served { line.serve(&candidate, turns) } else { line.leave(&candidate, turns) };
        *ready_at = None;
        if line.is_empty() {
            state.lines.remove(&key);
        }
        self.waiting.store(state.places.len(), Ordering::Release);
        Some(waiter.expect("a place has its waiter"))
    }

    fn relocate(&self, state: &mut State, ticket: Ticket, other: &Key, detours: impl FnOnce(usize) -> usize) {
        let Some((_, candidate)) = state.places.get(&ticket).cloned() else { return };
        if let Some(mut waiter) = self.remove(state, ticket, false) {
            waiter.detours = detours(waiter.detours);
            self.enter(state, other, candidate, waiter);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing under this lock panics but a broken invariant")
    }
}

/// A place in a line. Dropping it leaves the line.
#[derive(Debug)]
pub(super) struct Place {
    lines: Arc<Lines>,
    ticket: Ticket,
}

impl Place {
    /// The line it is in now; `None` once it was answered.
    pub(super) fn key(&self) -> Option<Key> {
        self.lines.lock().places.get(&self.ticket).map(|(key, _)| key.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(mut state) = self.lines.state.lock() {
            self.lines.leave(&mut state, self.ticket);
        }
    }
}
