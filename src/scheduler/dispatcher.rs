//! Dispatcher: drives the schedule through time: gives jobs their turn, ends those that are too late.
//! Owns: the timer of the schedule, and the right to give turns. The schedule itself outlives it.
//! Parent: the scheduler's supervisor. Restarts: yes, with backoff. Lost on restart: its timer, which it sets again at
//! once. Jobs under way go on without it.
//! Bound: one wake-up and one tick at a time. Talks to: nobody; it starts a task for each job that has its turn, as
//! many at once as the schedule lets run.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::AbortHandle;

use super::attempt::Attempt;
use super::job_handle::JobError;
use super::shared::Shared;
use crate::policy::{Moment, Step};

/// How many jobs are looked at in one go.
const STEPS_MAX: usize = 64;

/// The farthest that the timer is set.
const TIMER_MAX: Duration = Duration::from_secs(365 * 86_400);

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
    timer: Option<(Moment, AbortHandle)>,
    generation: u64,
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
        Ok(DispatcherState { shared, timer: None, generation: 0 })
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
            DispatcherMessage::Tick { generation } if generation == state.generation => {
                state.timer = None;
                state.look(&myself).await;
            }
            DispatcherMessage::Tick { .. } => {} // From a timer that was replaced.
        }
        Ok(())
    }
}

impl Drop for DispatcherState {
    fn drop(&mut self) {
        self.disarm();
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
        if self.timer.as_ref().map(|(armed, _)| *armed) == due {
            return;
        }
        self.disarm();
        let Some(due) = due else { return };
        self.generation += 1;
        let generation = self.generation;
        let wait = due.since(self.shared.clock.now()).min(TIMER_MAX);
        let timer = myself.send_after(wait, move || DispatcherMessage::Tick { generation });
        self.timer = Some((due, timer.abort_handle()));
    }

    fn disarm(&mut self) {
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
    }
}
