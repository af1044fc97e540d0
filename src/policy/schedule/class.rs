//! The waiting jobs of one priority in one queue: tenants take turns, and each tenant's jobs go in the order in which
//! they came.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::policy::lease::Label;
use crate::policy::line::Turns;
use crate::policy::moment::Moment;

/// The order of arrival in a schedule. A job keeps it when it comes back from an attempt in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) joined_at: Moment,
    pub(super) ticket: u64,
}

/// The waiting jobs of one tenant.
#[derive(Debug)]
struct Lane {
    jobs: BTreeMap<Place, u32>,
    /// Its place in the rotation.
    turn: i64,
    /// How many more jobs it may have taken before it is the next one's turn.
    turns_left: u32,
}

/// The waiting jobs of one priority.
#[derive(Debug, Default)]
pub(super) struct Class {
    lanes: HashMap<Option<Label>, Lane>,
    /// The tenants, the one whose turn it is first.
    rotation: BTreeMap<i64, Option<Label>>,
    arrivals: BTreeSet<Place>,
}

impl Class {
    /// The one that came first, whoever's turn it is.
    pub(super) fn oldest(&self) -> Option<Place> {
        self.arrivals.first().copied()
    }

    /// Takes in a job that has just come.
    pub(super) fn join(&mut self, tenant: &Option<Label>, place: Place, job: u32, turns: &Turns) {
        if !self.lanes.contains_key(tenant) {
            let turn = self.rotation.last_key_value().map_or(0, |(last, _)| last + 1);
            self.open_lane(tenant, turn, turns.weight(tenant.as_ref()));
        }
        self.place(tenant, place, job);
    }

    /// Takes back a job whose attempt was in vain: its tenant has its turn again.
    pub(super) fn put_back(&mut self, tenant: &Option<Label>, place: Place, job: u32) {
        let first = self.rotation.first_key_value().map_or(0, |(first, _)| first - 1);
        match self.lanes.get_mut(tenant) {
            Some(lane) => {
                let name = self.rotation.remove(&lane.turn).expect("every lane has its turn");
                // What it had left of a later round is given up: it gets its turns anew when it is last again.
                lane.turns_left = if lane.turn == first + 1 { lane.turns_left + 1 } else { 1 };
                lane.turn = first;
                self.rotation.insert(first, name);
            }
            None => self.open_lane(tenant, first, 1),
        }
        self.place(tenant, place, job);
    }

    /// Takes out the job whose turn it is.
    pub(super) fn take(&mut self, turns: &Turns) -> Option<u32> {
        let (turn, tenant) = self.rotation.first_key_value()?;
        let turn = *turn;
        let lane = self.lanes.get_mut(tenant).expect("who has a turn has a lane");
        let (place, job) = lane.jobs.pop_first().expect("a lane has a job");
        self.arrivals.remove(&place);
        lane.turns_left -= 1;
        if lane.jobs.is_empty() {
            let tenant = self.rotation.remove(&turn).expect("it was just there");
            self.lanes.remove(&tenant);
        } else if lane.turns_left == 0 {
            let last = self.rotation.last_key_value().map_or(0, |(last, _)| last + 1);
            lane.turns_left = turns.weight(tenant.as_ref());
            lane.turn = last;
            let tenant = self.rotation.remove(&turn).expect("it was just there");
            self.rotation.insert(last, tenant);
        }
        Some(job)
    }

    /// Takes out a job that leaves.
    pub(super) fn leave(&mut self, tenant: &Option<Label>, place: Place) {
        let lane = self.lanes.get_mut(tenant).expect("who waits has a lane");
        lane.jobs.remove(&place).expect("it waits in its lane");
        self.arrivals.remove(&place);
        if lane.jobs.is_empty() {
            self.rotation.remove(&lane.turn);
            self.lanes.remove(tenant);
        }
    }

    fn open_lane(&mut self, tenant: &Option<Label>, turn: i64, turns_left: u32) {
        self.rotation.insert(turn, tenant.clone());
        self.lanes.insert(tenant.clone(), Lane { jobs: BTreeMap::new(), turn, turns_left });
    }

    fn place(&mut self, tenant: &Option<Label>, place: Place, job: u32) {
        let lane = self.lanes.get_mut(tenant).expect("it was just opened");
        assert!(lane.jobs.insert(place, job).is_none(), "a place is taken once");
        self.arrivals.insert(place);
    }
}
