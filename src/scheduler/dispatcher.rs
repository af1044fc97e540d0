//! Dispatcher: drives the schedule through time: gives jobs their turn, ends those that are too late.
//! Owns: the timer of the schedule, and the right to give turns. The schedule itself outlives it.
//! Parent: the scheduler's supervisor. Restarts: yes, with backoff. Lost on restart: its timer, which it sets again at
//! once. Jobs under way go on without it.
//! Bound: one wake-up and one tick at a time. Talks to: nobody; it starts a task for each job that has its turn, as
//! many at once as the schedule lets run.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::attempt::Attempt;
use super::job_handle::JobError;
use super::shared::Shared;
use crate::actors::Timer;
use crate::policy::{Moment, Step};

/// How many jobs are looked at in one go.
const STEPS_MAX: usize = 64;

/// What the dispatcher can be told.
#[derive(Debug)]
pub enum DispatcherMessage {
    /// Something can perhaps be done.
    Wake,
    /// The timer of this generation is due.
    Tick {
        /// A tick of an older timer is ignored.
        generation: u64,
    },
}

/// The actor's behaviour.
#[derive(Debug)]
pub(super) struct Dispatcher;

/// The actor's state.
pub(super) struct DispatcherState {
    shared: Arc<Shared>,
    timer: Timer,
}

impl Actor for Dispatcher {
    type Msg = DispatcherMessage;
    type State = DispatcherState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        shared: Arc<Shared>,
    ) -> Result<DispatcherState, ActorProcessingErr> {
        Ok(DispatcherState { shared, timer: Timer::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: DispatcherMessage,
        state: &mut DispatcherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DispatcherMessage::Wake => {
                state.shared.dispatcher.left();
                state.shared.woken();
                state.look(&myself).await;
            }
            DispatcherMessage::Tick { generation } if state.timer.is_due(generation) => state.look(&myself).await,
            DispatcherMessage::Tick { .. } => {} // From a timer that was replaced.
        }
        Ok(())
    }
}

impl DispatcherState {
    /// Does all that can be done now, and sets the timer for what comes next by itself.
    async fn look(&mut self, myself: &ActorRef<DispatcherMessage>) {
        loop {
            for _ in 0..STEPS_MAX {
                let now = self.shared.clock.now();
                // Not locked any more when a job is begun or ended.
                let step = self.shared.schedule().step(now);
                match step {
                    Step::Try(turn) => drop(tokio::spawn(Attempt::new(&self.shared, turn).run())),
                    Step::Expired(ended) => self.shared.ended_waiting(ended, JobError::TooLate { has_begun: false }),
                    Step::Wait(until) => return self.arm(myself, until),
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn arm(&mut self, myself: &ActorRef<DispatcherMessage>, due: Option<Moment>) {
        let Some(due) = due else { return self.timer.disarm() };
        let wait = due.since(self.shared.clock.now());
        self.timer.arm(myself, due, wait, |generation| DispatcherMessage::Tick { generation });
    }
}
