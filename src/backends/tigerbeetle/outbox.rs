//! What waits to be sent together, and when it goes. A client has one request on its way at a time, and the cluster
//! pays for each request whatever is in it: a write, a step of its housekeeping. So what comes while one is on its way
//! goes together in the next one, and that one waits until those who were just answered have had their turn to ask
//! again: the group commit of databases, without a clock. One who asks alone is never held up.

/// What goes together: the events of all calls, one call's after the other's, and how many are each one's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<C, E> {
    pub(super) events: Vec<E>,
    pub(super) calls: Vec<(C, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is on its way: what comes is sent at once.
    Idle,
    /// A group of so many calls is on its way.
    Sent { calls: usize },
    /// Those who were answered have this turn. With so many calls nobody is missing.
    Gathering { turn: Turn, expected: usize },
}

/// One time to ask again. A later one is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// What waits. Its owner sends each group that a method returns, and says what becomes of it.
#[derive(Debug)]
pub(super) struct Outbox<C, E> {
    phase: Phase,
    waiting: Group<C, E>,
    events_max: usize,
    turns: u64,
}

impl<C, E> Group<C, E> {
    fn with_room_for(events: usize, calls: usize) -> Self {
        Self { events: Vec::with_capacity(events), calls: Vec::with_capacity(calls) }
    }
}

impl<C, E> Outbox<C, E> {
    /// A group has at most so many events, or one call.
    pub(super) fn new(events_max: usize) -> Self {
        Self { phase: Phase::Idle, waiting: Group::with_room_for(0, 0), events_max, turns: 0 }
    }

    /// Takes a call. Returns the group that is to be sent now.
    pub(super) fn add(&mut self, call: C, mut events: Vec<E>) -> Option<Group<C, E>> {
        self.waiting.calls.push((call, events.len()));
        self.waiting.events.append(&mut events);
        let is_time = match self.phase {
            Phase::Idle => true,
            Phase::Sent { .. } => false,
            Phase::Gathering { expected, .. } => expected <= self.waiting.calls.len() || self.is_full(),
        };
        if is_time { self.take() } else { None }
    }

    /// The group on its way has an outcome. Returns the turn that is to be [ended](Self::end_turn) when all who wait
    /// for the outcome have had it.
    #[must_use]
    pub(super) fn answered(&mut self) -> Option<Turn> {
        let Phase::Sent { calls } = self.phase else { panic!("an answer to what was not sent") };
        let expected = calls + self.waiting.calls.len();
        if expected == 1 {
            self.phase = Phase::Idle;
            return None;
        }
        Some(self.begin_turn(expected))
    }

    /// The group on its way is too large, and was not sent. It waits again, before all others, and groups are smaller
    /// from now on. Returns the turn that is to be ended.
    #[must_use]
    pub(super) fn too_large(&mut self, mut group: Group<C, E>) -> Turn {
        assert!(matches!(self.phase, Phase::Sent { .. }), "what was not sent is not too large");
        assert!(1 < group.calls.len(), "a call is not divided");
        self.events_max = self.events_max.min(group.events.len()).div_ceil(2);
        group.events.append(&mut self.waiting.events);
        group.calls.append(&mut self.waiting.calls);
        self.waiting = group;
        self.begin_turn(self.waiting.calls.len())
    }

    /// Who was answered has had time to ask again. Returns the group that is to be sent now.
    pub(super) fn end_turn(&mut self, ended: Turn) -> Option<Group<C, E>> {
        match self.phase {
            Phase::Gathering { turn, .. } if turn == ended => {
                self.phase = Phase::Idle;
                self.take()
            }
            _ => None, // It is over: what waited has gone.
        }
    }

    /// Who waits; they are never sent. A turn is over then.
    pub(super) fn take_all(&mut self) -> Vec<C> {
        if let Phase::Gathering { .. } = self.phase {
            self.phase = Phase::Idle;
        }
        self.waiting.events.clear();
        self.waiting.calls.drain(..).map(|(call, _)| call).collect()
    }

    fn begin_turn(&mut self, expected: usize) -> Turn {
        self.turns += 1;
        let turn = Turn(self.turns);
        self.phase = Phase::Gathering { turn, expected };
        turn
    }

    fn is_full(&self) -> bool {
        self.events_max <= self.waiting.events.len()
    }

    /// The first that fit together.
    fn take(&mut self) -> Option<Group<C, E>> {
        let (mut calls, mut events) = (0, 0);
        for (_, count) in &self.waiting.calls {
            if calls != 0 && self.events_max < events + count {
                break;
            }
            (calls, events) = (calls + 1, events + count);
        }
        if calls == 0 {
            return None;
        }
        self.phase = Phase::Sent { calls };
        let later = if calls == self.waiting.calls.len() {
            Group::with_room_for(events, calls)
        } else {
            Group { events: self.waiting.events.split_off(events), calls: self.waiting.calls.split_off(calls) }
        };
        Some(std::mem::replace(&mut self.waiting, later))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each call with events that have its number.
    fn add(outbox: &mut Outbox<u8, u8>, call: u8, events: usize) -> Option<Vec<u8>> {
        outbox.add(call, vec![call; events]).map(calls)
    }

    fn calls(group: Group<u8, u8>) -> Vec<u8> {
        let events: Vec<u8> = group.calls.iter().flat_map(|(call, count)| vec![*call; *count]).collect();
        assert_eq!(events, group.events, "each call's events are its own");
        group.calls.into_iter().map(|(call, _)| call).collect()
    }

    #[test]
    fn one_who_asks_alone_is_never_held_up() {
        let mut outbox = Outbox::new(100);
        for _ in 0..3 {
            assert_eq!(add(&mut outbox, 1, 4), Some(vec![1]));
            assert_eq!(outbox.answered(), None);
        }
    }

    #[test]
    fn what_comes_while_a_group_is_on_its_way_waits_for_those_who_are_answered() {
        let mut outbox = Outbox::new(100);
        assert_eq!(add(&mut outbox, 1, 4), Some(vec![1]));
        assert_eq!((add(&mut outbox, 2, 4), add(&mut outbox, 3, 1)), (None, None));
        let first = outbox.answered().expect("two wait");
        assert_eq!(add(&mut outbox, 1, 4), Some(vec![2, 3, 1]), "nobody is missing");
        assert_eq!(outbox.end_turn(first), None, "they have gone");
        let second = outbox.answered().expect("three may come back");
        assert_eq!(add(&mut outbox, 2, 4), None);
        assert_eq!(outbox.end_turn(first), None, "nobody ends the turn of others");
        assert_eq!(outbox.end_turn(second).map(calls), Some(vec![2]), "those who do not come back are not waited for");
        assert_eq!(outbox.answered(), None);
        assert_eq!(add(&mut outbox, 3, 4), Some(vec![3]));
    }

    #[test]
    fn who_comes_when_nobody_came_back_is_sent_at_once() {
        let mut outbox = Outbox::new(100);
        assert_eq!(add(&mut outbox, 1, 4), Some(vec![1]));
        assert_eq!((add(&mut outbox, 2, 4), add(&mut outbox, 3, 4)), (None, None));
        let turn = outbox.answered().expect("two wait");
        assert_eq!(outbox.end_turn(turn).map(calls), Some(vec![2, 3]));
        let turn = outbox.answered().expect("two may come back");
        assert_eq!(outbox.end_turn(turn), None);
        assert_eq!(add(&mut outbox, 3, 4), Some(vec![3]));
    }

    #[test]
    fn a_group_is_no_larger_than_it_may_be_and_no_call_is_divided() {
        let mut outbox = Outbox::new(10);
        assert_eq!(add(&mut outbox, 1, 40), Some(vec![1]), "a call that is larger goes alone");
        assert_eq!((add(&mut outbox, 2, 6), add(&mut outbox, 3, 4), add(&mut outbox, 4, 1)), (None, None, None));
        let turn = outbox.answered().expect("three wait");
        assert_eq!(outbox.end_turn(turn).map(calls), Some(vec![2, 3]));
        assert!(outbox.answered().is_some());
        assert_eq!(add(&mut outbox, 5, 9), Some(vec![4, 5]), "it is full");
    }

    #[test]
    fn a_group_that_the_cluster_does_not_take_goes_in_smaller_ones_in_its_order() {
        let mut outbox = Outbox::new(1_000);
        assert_eq!(add(&mut outbox, 1, 2), Some(vec![1]));
        (2..6).for_each(|call| assert_eq!(add(&mut outbox, call, 2), None));
        let turn = outbox.answered().expect("four wait");
        let group = outbox.end_turn(turn).expect("four wait");
        assert_eq!(add(&mut outbox, 6, 2), None);
        let turn = outbox.too_large(group);
        assert_eq!(outbox.end_turn(turn).map(calls), Some(vec![2, 3]));
        let turn = outbox.answered().expect("three wait");
        assert_eq!(outbox.end_turn(turn).map(calls), Some(vec![4, 5]));
        let turn = outbox.answered().expect("one waits");
        assert_eq!(outbox.take_all(), [6]);
        assert_eq!(outbox.end_turn(turn), None);
        assert_eq!(add(&mut outbox, 7, 2), Some(vec![7]), "nobody waits for those who were given up");
        assert_eq!((outbox.take_all(), outbox.answered()), (vec![], None));
    }

    proptest! {
        /// Whatever happens, every call is sent once, and nothing waits for ever.
        #[test]
        fn every_call_goes_exactly_once(steps in proptest::collection::vec((0..4_u8, 1..7_usize), 1..200)) {
            let mut outbox = Outbox::new(8);
            let (mut added, mut sent) = (0, Vec::new());
            let (mut on_its_way, mut turns): (Option<Group<u8, u8>>, Vec<Turn>) = (None, Vec::new());
            let drain = std::iter::repeat_n([(1, 1), (2, 1)], 300).flatten();
            for (step, events) in steps.into_iter().chain(drain) {
                let group = match step {
                    0 if added < u8::MAX => {
                        added += 1;
                        outbox.add(added, vec![added; events])
                    }
                    1 if on_its_way.is_some() => {
                        sent.extend(on_its_way.take().map(calls).unwrap_or_default());
                        turns.extend(outbox.answered());
                        None
                    }
                    2 => turns.pop().and_then(|turn| outbox.end_turn(turn)),
                    3 if on_its_way.as_ref().is_some_and(|group| 1 < group.calls.len()) => {
                        turns.push(outbox.too_large(on_its_way.take().expect("it is there")));
                        None
                    }
                    _ => None,
                };
                prop_assert!(group.is_none() || on_its_way.is_none(), "one at a time");
                on_its_way = group.or(on_its_way);
            }
            sent.sort_unstable();
            prop_assert_eq!(sent, (1..=added).collect::<Vec<_>>());
        }
    }
}
