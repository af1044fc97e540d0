//! What callers and the actor of one circuit breaker share: the machine under a lock, and one published number that
//! saves nearly every call the lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::broadcast;

use super::circuit_breaker::{CircuitBreakerMessage, QUEUE_MAX};
use crate::actors::mailbox::Mailbox;
use crate::clock::Clock;
use crate::policy::{
    Admission, BreakerName, BreakerOpen, BreakerSettings, BreakerState, BreakerView, CircuitBreaker, Class,
    ExpiringTable, Moment, Outcome, PermitId, Transition,
};

/// The most permits of one breaker that are handed out by number at once; beyond it the oldest goes.
const PERMITS_MAX: usize = 10_000;

/// How long the outcome of a call with such a permit is waited for.
pub(super) const PERMIT_LIFETIME: Duration = Duration::from_secs(3_600);

/// Generations begin at 1.
const NO_GENERATION: u64 = 0;

/// One circuit breaker. It is never locked while anything is awaited, and the lock of no other part is taken under it.
#[derive(Debug)]
pub(crate) struct Gate {
    /// [`CircuitBreaker::clear_generation`], or [`NO_GENERATION`]: while it is there, entering and succeeding need not
    /// look any further. Written under the lock only.
    clear_generation: AtomicU64,
    name: BreakerName,
    needs_latency: bool,
    books: Mutex<Books>,
    clock: Clock,
    transitions: broadcast::Sender<Transition>,
    pub(super) mailbox: Mailbox<CircuitBreakerMessage>,
    /// A wake-up is on its way: one is enough for any number of reasons.
    is_woken: AtomicBool,
    is_configured: bool,
    /// Somebody asked for it since the table was last looked through.
    is_touched: AtomicBool,
}

#[derive(Debug)]
struct Books {
    machine: CircuitBreaker,
    /// The calls let through by number, with the time of their entry. What goes unused out of it loses its outcome; the
    /// slot of a probe frees by itself.
    permits: ExpiringTable<PermitId, (Admission, Moment)>,
    /// Since when nobody has asked for it and nothing is counted, as far as was looked.
    idle_since: Option<Moment>,
}

impl Gate {
    pub(super) fn new(
        name: BreakerName,
        settings: BreakerSettings,
        actor_name: String,
        clock: Clock,
        transitions: broadcast::Sender<Transition>,
        is_configured: bool,
    ) -> Self {
        let needs_latency = settings.needs_latency();
        let machine = CircuitBreaker::new(name.clone(), settings);
        Self {
            clear_generation: AtomicU64::new(machine.clear_generation().unwrap_or(NO_GENERATION)),
            name,
            needs_latency,
            books: Mutex::new(Books {
                machine,
                permits: ExpiringTable::new(PERMIT_LIFETIME, PERMITS_MAX),
                idle_since: None,
            }),
            clock,
            transitions,
            mailbox: Mailbox::new(actor_name, QUEUE_MAX),
            is_woken: AtomicBool::new(false),
            is_configured,
            is_touched: AtomicBool::new(true),
        }
    }

    pub(crate) fn name(&self) -> &BreakerName {
        &self.name
    }

    pub(crate) fn mailbox(&self) -> &Mailbox<CircuitBreakerMessage> {
        &self.mailbox
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.transitions.subscribe()
    }

    /// Lets a call through, with the time of its entry where that matters, or refuses it.
    #[inline]
    pub(crate) fn enter(&self) -> Result<(Admission, Option<Moment>), BreakerOpen> {
        match self.clear_generation.load(Ordering::Acquire) {
            NO_GENERATION => self.enter_under_lock(),
            generation => Ok((Admission::of_generation(generation), None)),
        }
    }

    fn enter_under_lock(&self) -> Result<(Admission, Option<Moment>), BreakerOpen> {
        let (answer, now) = self.change(|books, now| {
            let (answer, transition) = books.machine.enter(now);
            ((answer, now), transition)
        });
        let admission = answer?;
        if admission.is_probe() {
            self.wake(); // Its slot is to be freed if it vanishes.
        }
        Ok((admission, self.needs_latency.then_some(now)))
    }

    /// Answers as [`Self::enter`] would, and takes nothing.
    pub(crate) fn check(&self) -> Result<(), BreakerOpen> {
        match self.clear_generation.load(Ordering::Acquire) {
            NO_GENERATION => self.lock().machine.check(self.clock.now()),
            _ => Ok(()),
        }
    }

    /// The call went well.
    #[inline]
    pub(crate) fn succeed(&self, admission: Admission, entered_at: Option<Moment>) {
        if self.clear_generation.load(Ordering::Acquire) != admission.generation() {
            self.record(admission, entered_at, Class::Success, &Outcome::success());
        }
    }

    /// Counts how an admitted call ended.
    pub(crate) fn record(&self, admission: Admission, entered_at: Option<Moment>, class: Class, outcome: &Outcome) {
        let random = fastrand::u64(..);
        self.change(|books, now| {
            let measured = || entered_at.map(|entered_at| now.since(entered_at));
            let outcome = Outcome { latency: outcome.latency.or_else(measured), ..*outcome };
            ((), books.machine.record(admission, class, &outcome, now, random))
        });
    }

    /// Gives back what an admitted call holds without having come to an end.
    #[inline]
    pub(crate) fn cancel(&self, admission: Admission) {
        // A lock that a panic has spoilt is left alone: this runs while the caller unwinds.
        if admission.is_probe() && !self.books.is_poisoned() {
            self.record(admission, None, Class::Neutral, &Outcome::default());
        }
    }

    /// As [`Self::enter`], for a caller who holds a number in place of a permit.
    pub(crate) fn issue(&self) -> Result<PermitId, BreakerOpen> {
        let id = PermitId::new(fastrand::u64(..));
        let is_probe = self.change(|books, now| {
            let (answer, transition) = books.machine.enter(now);
            let issued = answer.map(|admission| {
                let is_probe = admission.is_probe();
                books.permits.insert(id, (admission, now), now);
                is_probe
            });
            (issued, transition)
        })?;
        if is_probe {
            self.wake();
        }
        Ok(id)
    }

    /// Counts how a call with a number ended; says whether the number was waited for.
    pub(crate) fn record_issued(&self, id: PermitId, class: Class, outcome: &Outcome) -> bool {
        let random = fastrand::u64(..);
        self.change(|books, now| {
            let Some((admission, entered_at)) = books.permits.remove(&id, now) else { return (false, None) };
            let latency = outcome.latency.or_else(|| Some(now.since(entered_at)));
            let outcome = Outcome { latency, ..*outcome };
            (true, books.machine.record(admission, class, &outcome, now, random))
        })
    }

    /// As it stands now.
    pub(crate) fn view(&self) -> BreakerView {
        self.change(|books, now| {
            let transition = books.machine.advance(now);
            (books.machine.view(), transition)
        })
    }

    /// Does what is due by itself; says when there will be something again.
    pub(super) fn tend(&self) -> Option<Moment> {
        self.change(|books, now| {
            let transition = books.machine.advance(now);
            (books.machine.next_due(), transition)
        })
    }

    /// Does what a person asked for.
    pub(super) fn command(&self, command: impl FnOnce(&mut CircuitBreaker) -> Option<Transition>) {
        self.change(|books, _| ((), command(&mut books.machine)));
    }

    /// Somebody asked for it.
    pub(super) fn touch(&self) {
        if !self.is_touched.load(Ordering::Relaxed) {
            self.is_touched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it could be made anew without a difference, and nobody has asked for it for so long.
    pub(super) fn is_idle_for(&self, idle_min: Duration, now: Moment) -> bool {
        let was_touched = self.is_touched.swap(false, Ordering::Relaxed);
        self.change(|books, _| {
            let transition = books.machine.advance(now);
            let is_idle = books.machine.is_blank() && !was_touched && !self.is_configured;
            let idle_since = if is_idle { *books.idle_since.get_or_insert(now) } else { now };
            books.idle_since = is_idle.then_some(idle_since);
            (is_idle && idle_min <= now.since(idle_since), transition)
        })
    }

    /// Tells the actor to look after it.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) && self.mailbox.cast(CircuitBreakerMessage::Wake).is_err() {
            self.is_woken.store(false, Ordering::Release); // It looks for itself when it is back.
        }
    }

    /// The actor has taken the wake-up: what happens from now on is worth another.
    pub(super) fn woken(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    pub(super) fn connect(&self, actor: ActorRef<CircuitBreakerMessage>) {
        self.mailbox.connect(actor, self.clock.now());
        self.woken();
        self.wake();
    }

    /// Changes the books and publishes what came of it. Subscribers are told under the lock, which keeps the order.
    fn change<T>(&self, change: impl FnOnce(&mut Books, Moment) -> (T, Option<Transition>)) -> T {
        let now = self.clock.now();
        let mut books = self.lock();
        let (result, transition) = change(&mut books, now);
        let clear_generation = books.machine.clear_generation().unwrap_or(NO_GENERATION);
        self.clear_generation.store(clear_generation, Ordering::Release);
        if let Some(transition) = &transition {
            let _ = self.transitions.send(transition.clone()); // Nobody may be subscribed.
        }
        drop(books);
        if let Some(transition) = transition {
            log(&transition);
            self.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing under this lock panics but a broken invariant")
    }
}

fn log(transition: &Transition) {
    let Transition { name, from, to, generation, cause } = transition;
    match to {
        BreakerState::Open => tracing::warn!(breaker = %name, %from, %to, generation, %cause, "circuit breaker opened"),
        BreakerState::Closed | BreakerState::HalfOpen => {
            tracing::info!(breaker = %name, %from, %to, generation, %cause, "circuit breaker changed");
        }
    }
}
