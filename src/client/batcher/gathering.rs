//! When requests that wait are sent together. Pure: no task, no clock; whoever calls sends and sets timers.

use std::collections::VecDeque;

use crate::client::settings::BatchSettings;

/// Requests of one kind that wait for a batch.
pub(super) struct Gathering<I> {
    waiting: VecDeque<I>,
    /// Batches on their way.
    in_flight: usize,
    size: usize,
    workers: usize,
    /// Names the timer of the first that waits. A timer that was set before is of no more interest.
    timer: u64,
    /// Whether the first has waited for long enough.
    is_due: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step<I> {
    /// To be sent now, each on its own.
    pub(super) batches: Vec<Vec<I>>,
    /// A timer that is to be set, and its name.
    pub(super) timer: Option<u64>,
}

impl<I> Gathering<I> {
    pub(super) fn new(settings: &BatchSettings) -> Self {
        let (size, workers) = (settings.size.max(1), settings.workers.max(1));
        Self { waiting: VecDeque::new(), in_flight: 0, size, workers, timer: 0, is_due: false }
    }

    /// One more.
    pub(super) fn push(&mut self, item: I) -> Step<I> {
        let is_first = self.waiting.is_empty();
        self.waiting.push_back(item);
        self.step(is_first)
    }

    /// A timer has run out.
    pub(super) fn on_timer(&mut self, timer: u64) -> Step<I> {
        self.is_due |= timer == self.timer && !self.waiting.is_empty();
        self.step(false)
    }

    /// A batch has been answered.
    pub(super) fn on_answer(&mut self) -> Step<I> {
        self.in_flight -= 1;
        self.step(false)
    }

    /// Nobody else will come: what waits goes as soon as it can.
    pub(super) fn hasten(&mut self) -> Step<I> {
        self.is_due = !self.waiting.is_empty();
        self.step(false)
    }

    fn step(&mut self, mut has_new_first: bool) -> Step<I> {
        let mut batches = Vec::new();
        while self.may_send() {
            let count = self.size.min(self.waiting.len());
            batches.push(self.waiting.drain(..count).collect());
            self.in_flight += 1;
            has_new_first = true;
            // Those beyond a batch that was due have waited for a free worker, and go with the next.
            self.is_due &= !self.waiting.is_empty();
        }
        let needs_timer = has_new_first && !self.waiting.is_empty() && !self.is_due;
        self.timer += u64::from(has_new_first);
        Step { batches, timer: needs_timer.then_some(self.timer) }
    }

    fn may_send(&self) -> bool {
        let is_worth_it = self.in_flight == 0 || self.size <= self.waiting.len() || self.is_due;
        !self.waiting.is_empty() && self.in_flight < self.workers && is_worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn gathering(size: usize, workers: usize) -> Gathering<u32> {
        Gathering::new(&BatchSettings { size, flush: Duration::from_millis(2), workers })
    }

    #[track_caller]
    fn check(step: Step<u32>, batches: &[&[u32]], sets_timer: bool) -> Option<u64> {
        assert_eq!(step.batches, batches);
        assert_eq!(step.timer.is_some(), sets_timer);
        step.timer
    }

    #[test]
    fn while_nothing_is_on_its_way_nobody_waits() {
        let mut gathering = gathering(3, 2);
        check(gathering.push(1), &[&[1]], false);
        check(gathering.on_answer(), &[], false);
        check(gathering.push(2), &[&[2]], false);
    }

    #[test]
    fn else_a_batch_goes_when_it_is_full() {
        let mut gathering = gathering(3, 2);
        check(gathering.push(1), &[&[1]], false);
        check(gathering.push(2), &[], true);
        check(gathering.push(3), &[], false);
        check(gathering.push(4), &[&[2, 3, 4]], false);
        check(gathering.push(5), &[], true);
        check(gathering.push(6), &[], false);
        check(gathering.push(7), &[], false);
        check(gathering.push(8), &[], false);
        check(gathering.on_answer(), &[&[5, 6, 7]], true);
    }

    #[test]
    fn or_when_its_first_has_waited_for_long_enough() {
        let mut gathering = gathering(3, 2);
        check(gathering.push(1), &[&[1]], false);
        let timer = check(gathering.push(2), &[], true).expect("a timer");
        check(gathering.push(3), &[], false);
        check(gathering.on_timer(timer), &[&[2, 3]], false);
        let timer = check(gathering.push(4), &[], true).expect("a timer");
        check(gathering.on_timer(timer), &[], false);
        check(gathering.on_answer(), &[&[4]], false);
    }

    #[test]
    fn or_when_nothing_is_on_its_way_any_more() {
        let mut gathering = gathering(3, 2);
        check(gathering.push(1), &[&[1]], false);
        check(gathering.push(2), &[], true);
        check(gathering.on_answer(), &[&[2]], false);
    }

    #[test]
    fn the_timer_of_those_who_have_gone_hurries_nobody() {
        let mut gathering = gathering(2, 3);
        check(gathering.push(1), &[&[1]], false);
        let old = check(gathering.push(2), &[], true).expect("a timer");
        check(gathering.push(3), &[&[2, 3]], false);
        check(gathering.push(4), &[], true);
        check(gathering.on_timer(old), &[], false);
    }

    proptest! {
        #[test]
        fn all_go_once_in_order_in_bounds(
            size in 1_usize..5,
            workers in 1_usize..4,
            events in prop::collection::vec(0_u8..4, 0..200),
        ) {
            let mut gathering = gathering(size, workers);
            let (mut next, mut sent, mut in_flight, mut timers) = (0, Vec::new(), 0, Vec::new());
            for event in events.into_iter().chain(std::iter::repeat_n(2, 400)) {
                let step = match event {
                    0 | 1 => {
                        next += 1;
                        gathering.push(next)
                    }
                    2 if in_flight != 0 => {
                        in_flight -= 1;
                        gathering.on_answer()
                    }
                    3 => gathering.on_timer(timers.pop().unwrap_or(0)),
                    _ => continue,
                };
                prop_assert!(step.batches.iter().all(|batch| (1..=size).contains(&batch.len())));
                in_flight += step.batches.len();
                prop_assert!(in_flight <= workers);
                prop_assert!(in_flight != 0 || gathering.waiting.is_empty(), "nobody waits for nothing");
                sent.extend(step.batches.into_iter().flatten());
                timers.extend(step.timer);
            }
            prop_assert_eq!(sent, (1..=next).collect::<Vec<u32>>());
        }
    }
}
