//! The turn of those who were answered, to ask again: a task that comes after those that were woken ends it.

use std::sync::Arc;
use std::thread;

use super::link::Link;
use super::outbox::Turn;

/// A turn that has begun. Dropped, when all are woken or that failed, it puts the turn's end behind them.
pub(super) struct Again {
    link: Arc<Link>,
    turn: Turn,
}

impl Again {
    pub(super) fn new(link: &Arc<Link>, turn: Turn) -> Self {
        Self { link: Arc::clone(link), turn }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let mut end = End(Some((Arc::clone(&self.link), self.turn)));
        self.link.runtime.spawn(async move { end.come() });
    }
}

/// The end of a turn, which comes also if the runtime has ended and drops the task.
struct End(Option<(Arc<Link>, Turn)>);

impl End {
    fn come(&mut self) {
        if let Some((link, turn)) = self.0.take() {
            link.end_turn(turn);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some((link, turn)) = self.0.take() else { return };
        let waiting = Arc::clone(&link);
        // Not here: this may be the library's own thread, which must not send.
        let thread = thread::Builder::new().name("tigerbeetle-turn".to_owned());
        if thread.spawn(move || link.end_turn(turn)).is_err() {
            waiting.lose_waiting();
        }
    }
}
