//! Circuit breaker: drives one breaker through time, and takes a person's decisions and calls by message.
//! Owns: the breaker's timer. What was counted, the probes that are out and the permits handed out by number are shared
//! state that outlives it; callers change that themselves when an outcome does.
//! Parent: breakers. Restarts: yes, with backoff; it retires when its breaker makes room for another.
//! Lost on restart: its timer, which it sets again at once, and queued messages, whose callers learn so at once.
//! Bound: [`QUEUE_MAX`] messages, taken in the mailbox, and one wake-up and one tick at a time. Talks to: its breaker;
//! nobody upward.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::broadcast;

use super::gate::Gate;
use crate::actors::supervision::RETIRED;
use crate::actors::timer::Timer;
use crate::clock::Clock;
use crate::policy::{
    BreakerOpen, BreakerView, CircuitBreaker as Machine, Class, Moment, Outcome, Override, PermitId, Transition,
};

/// The most messages queued for one circuit breaker.
pub(super) const QUEUE_MAX: usize = 1_024;

/// What the actor of one circuit breaker can be asked.
#[derive(Debug)]
pub enum CircuitBreakerMessage {
    /// The breaker may have changed: its timer is to be set anew.
    Wake,
    /// The timer of this generation is due.
    Tick {
        /// A tick of an older timer is ignored.
        generation: u64,
    },
    /// Asks to let one call through. The number is good for one [`Self::Record`] within an hour, and as long as no
    /// 10 000 younger ones are out; a probe's slot frees earlier, when the probe's own time is over.
    Allow(RpcReplyPort<Result<PermitId, BreakerOpen>>),
    /// Tells how such a call ended; a latency that is not given is the time since [`Self::Allow`]. Answers whether the
    /// number was waited for: one that is unknown, used or over counts nowhere.
    Record(PermitId, Class, Outcome, RpcReplyPort<bool>),
    /// Refuses every call until [`Self::Reset`].
    ForceOpen(RpcReplyPort<()>),
    /// Lets every call through until [`Self::Reset`], whatever comes of it.
    ForceClosed(RpcReplyPort<()>),
    /// Lets every call through and counts nothing until [`Self::Reset`].
    Disable(RpcReplyPort<()>),
    /// Begins afresh, as it was made.
    Reset(RpcReplyPort<()>),
    /// The breaker as it stands.
    View(RpcReplyPort<BreakerView>),
    /// The transitions of all breakers of this runtime, in order, from now on; each names its breaker. A receiver that
    /// falls behind by 1 024 misses the oldest and is told so.
    Subscribe(RpcReplyPort<broadcast::Receiver<Transition>>),
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct CircuitBreaker;

/// The actor's state.
pub(super) struct CircuitBreakerState {
    /// Not held: a breaker that nobody else holds may be dropped.
    gate: Weak<Gate>,
    clock: Clock,
    timer: Timer,
}

impl Actor for CircuitBreaker {
    type Msg = CircuitBreakerMessage;
    type State = CircuitBreakerState;
    type Arguments = (Weak<Gate>, Clock);

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        (gate, clock): Self::Arguments,
    ) -> Result<CircuitBreakerState, ActorProcessingErr> {
        Ok(CircuitBreakerState { gate, clock, timer: Timer::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: CircuitBreakerMessage,
        state: &mut CircuitBreakerState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(gate) = state.gate.upgrade() else {
            myself.stop(Some(RETIRED.to_owned()));
            return Ok(());
        };
        match message {
            CircuitBreakerMessage::Tick { generation } => {
                if state.timer.is_due(generation) {
                    state.look(&myself, &gate);
                }
            }
            message => {
                gate.mailbox().left();
                state.answer(&myself, &gate, message);
            }
        }
        Ok(())
    }
}

impl CircuitBreakerState {
    /// A caller that gave up has no use for the answer, which `send` then returns.
    fn answer(&mut self, myself: &ActorRef<CircuitBreakerMessage>, gate: &Arc<Gate>, message: CircuitBreakerMessage) {
        let command = |command: fn(&mut Machine) -> Option<Transition>, reply: RpcReplyPort<()>| {
            gate.command(command);
            drop(reply.send(()));
        };
        match message {
            CircuitBreakerMessage::Wake => {
                gate.woken();
                self.look(myself, gate);
            }
            CircuitBreakerMessage::Tick { .. } => {}
            CircuitBreakerMessage::Allow(reply) => {
                let issued = gate.issue();
                let id = issued.as_ref().ok().copied();
                if reply.send(issued).is_err()
                    && let Some(id) = id
                {
                    gate.record_issued(id, Class::Neutral, &Outcome::default());
                }
            }
            CircuitBreakerMessage::Record(id, class, outcome, reply) => {
                drop(reply.send(gate.record_issued(id, class, &outcome)));
            }
            CircuitBreakerMessage::ForceOpen(reply) => {
                command(|machine| machine.override_with(Override::ForcedOpen), reply)
            }
            CircuitBreakerMessage::ForceClosed(reply) => {
                command(|machine| machine.override_with(Override::ForcedClosed), reply)
            }
            CircuitBreakerMessage::Disable(reply) => {
                command(|machine| machine.override_with(Override::Disabled), reply)
            }
            CircuitBreakerMessage::Reset(reply) => command(|machine| Some(machine.reset()), reply),
            CircuitBreakerMessage::View(reply) => drop(reply.send(gate.view())),
            CircuitBreakerMessage::Subscribe(reply) => drop(reply.send(gate.subscribe())),
        }
    }

    /// Does what is due, and sets the timer for what comes next by itself.
    fn look(&mut self, myself: &ActorRef<CircuitBreakerMessage>, gate: &Gate) {
        match gate.tend() {
            Some(due) => self.arm(myself, due),
            None => self.timer.disarm(),
        }
    }

    fn arm(&mut self, myself: &ActorRef<CircuitBreakerMessage>, due: Moment) {
        let wait = due.since(self.clock.now()).max(Duration::from_nanos(1));
        self.timer.arm(myself, due, wait, |generation| CircuitBreakerMessage::Tick { generation });
    }
}
