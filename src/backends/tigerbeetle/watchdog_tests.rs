//! The watchdog beside a simulated cluster, 100 ms a step.

use super::*;

const TICK_MS: u64 = 100;

/// What the cluster does at a step.
#[derive(Clone, Copy)]
struct Cluster {
    answers: bool,
    takes_connections: bool,
    turns_away: bool,
}

const UP: Cluster = Cluster { answers: true, takes_connections: true, turns_away: false };
const STOPPED: Cluster = Cluster { answers: false, takes_connections: true, turns_away: false };
const DEAD: Cluster = Cluster { answers: false, takes_connections: false, turns_away: false };
const FULL: Cluster = Cluster { answers: false, takes_connections: true, turns_away: true };

struct Simulation {
    watchdog: Watchdog,
    now_ms: u64,
    heard: u64,
    is_waiting: bool,
    is_turned_away: bool,
    look: Option<Look>,
    probes: u64,
    dials: u64,
    /// When clients were made.
    rebuilt_ms: Vec<u64>,
}

impl Simulation {
    /// With a cluster that has answered.
    fn new() -> Self {
        let mut simulation = Self {
            watchdog: Watchdog::new(Reach(1), Moment::START),
            now_ms: 0,
            heard: 1,
            is_waiting: false,
            is_turned_away: false,
            look: None,
            probes: 0,
            dials: 0,
            rebuilt_ms: Vec::new(),
        };
        simulation.run(100, UP);
        simulation
    }

    fn run(&mut self, ms: u64, cluster: Cluster) -> &mut Self {
        for _ in 0..ms / TICK_MS {
            self.now_ms += TICK_MS;
            self.step(cluster);
        }
        self
    }

    fn step(&mut self, cluster: Cluster) {
        let seen = Seen {
            now: Moment::from_nanos(self.now_ms * 1_000_000),
            heard: self.heard,
            is_waiting: self.is_waiting,
            is_away: !cluster.answers,
            is_turned_away: self.is_turned_away,
            look: self.look.take(),
        };
        let steps = self.watchdog.step(&seen);
        if let Some(at) = steps.dial {
            self.dials += 1;
            self.look = Some(Look { at, open: Reach(u8::from(cluster.takes_connections)) });
        }
        if steps.rebuild {
            self.rebuilt_ms.push(self.now_ms);
            self.is_turned_away = false;
        }
        self.probes += u64::from(steps.probe);
        self.is_waiting |= steps.probe || steps.rebuild;
        if self.is_waiting && cluster.answers {
            (self.is_waiting, self.heard) = (false, self.heard + 1);
        }
        self.is_turned_away |= self.is_waiting && cluster.turns_away;
    }
}

#[test]
fn an_idle_cluster_is_asked_once_a_second() {
    let mut simulation = Simulation::new();
    simulation.run(60_000, UP);
    assert!((50..=60).contains(&simulation.probes), "{}", simulation.probes);
    assert_eq!((simulation.dials, simulation.rebuilt_ms.len()), (0, 0));
}

#[test]
fn a_cluster_that_died_gets_a_new_client_when_it_listens_again() {
    for outage_ms in [1_000, 5_000, 12_000, 60_000] {
        let mut simulation = Simulation::new();
        simulation.run(outage_ms + 1_400, DEAD);
        let (back_ms, before) = (simulation.now_ms, simulation.rebuilt_ms.len());
        simulation.run(1_000, STOPPED);
        let made_ms: Vec<u64> = simulation.rebuilt_ms[before..].iter().map(|made_ms| made_ms - back_ms).collect();
        assert!(matches!(made_ms[..], [..=1_000]), "back after {outage_ms} ms: clients after {made_ms:?} ms");
    }
}

#[test]
fn a_dead_cluster_is_looked_at_all_the_time() {
    let mut simulation = Simulation::new();
    simulation.run(11_400, DEAD);
    assert!((100..=114).contains(&simulation.dials), "{}", simulation.dials);
}

#[test]
fn a_stopped_cluster_keeps_its_client_for_a_while_and_is_seldom_looked_at() {
    let mut simulation = Simulation::new();
    simulation.run(5_000, STOPPED);
    assert!(simulation.rebuilt_ms.is_empty());
    simulation.run(600_000, STOPPED);
    let clients = simulation.rebuilt_ms.len();
    assert!((8..=14).contains(&clients), "{clients} clients in ten minutes");
    assert!(simulation.dials <= 610, "{}", simulation.dials);
    let asked = simulation.probes;
    simulation.run(1_000, UP);
    assert_eq!(simulation.probes, asked, "what was asked is answered");
    assert_eq!(simulation.rebuilt_ms.len(), clients);
}

#[test]
fn patience_begins_anew_after_an_answer() {
    let mut simulation = Simulation::new();
    simulation.run(40_000, STOPPED).run(2_000, UP);
    let before = simulation.rebuilt_ms.len();
    simulation.run(7_000, STOPPED);
    assert_eq!(simulation.rebuilt_ms.len(), before + 1);
}

#[test]
fn who_is_turned_away_comes_back_at_once_and_then_less_and_less() {
    let mut simulation = Simulation::new();
    simulation.run(1_000, FULL);
    assert_eq!(simulation.rebuilt_ms.len(), 1, "at once");
    simulation.run(600_000, FULL);
    let pauses: Vec<u64> = simulation.rebuilt_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted() && pauses[0] <= 1_200 && *pauses.last().unwrap() <= 16_200, "{pauses:?}");
    assert!(pauses.len() <= 50, "{}", pauses.len());
    // After a quiet minute it comes back at once again.
    simulation.run(60_000, UP);
    let (before, began_ms) = (simulation.rebuilt_ms.len(), simulation.now_ms);
    simulation.run(2_400, FULL);
    assert!(
        simulation.rebuilt_ms[before] <= began_ms + 1_300,
        "{:?} from {began_ms}",
        &simulation.rebuilt_ms[before..]
    );
}

#[test]
fn a_process_that_was_held_up_blames_nobody() {
    let mut simulation = Simulation::new();
    (simulation.is_waiting, simulation.now_ms) = (true, simulation.now_ms + 3_600_000);
    simulation.step(STOPPED);
    assert_eq!((simulation.dials, simulation.rebuilt_ms.len()), (0, 0));
}

#[test]
fn an_address_that_comes_and_goes_makes_one_client_a_second_at_the_most() {
    let mut simulation = Simulation::new();
    for _ in 0..50 {
        simulation.run(400, DEAD).run(400, STOPPED);
    }
    assert!(simulation.rebuilt_ms.windows(2).all(|pair| 1_000 <= pair[1] - pair[0]), "{:?}", simulation.rebuilt_ms);
}

/// A look of a watchdog over three addresses that has waited long enough.
fn look(watchdog: &mut Watchdog, now_ms: u64, found: Option<Look>) -> Steps {
    let now = Moment::from_nanos(now_ms * 1_000_000);
    watchdog.step(&Seen { now, heard: 0, is_waiting: true, is_away: true, is_turned_away: false, look: found })
}

#[test]
fn one_replica_that_comes_back_may_be_the_one_that_was_missing() {
    let mut watchdog = Watchdog::new(Reach(0b111), Moment::START);
    for now_ms in [100, 200] {
        assert_eq!(look(&mut watchdog, now_ms, None).dial, None, "so short a silence is nothing");
    }
    assert_eq!(look(&mut watchdog, 300, None).dial, Some(Reach(0b111)));
    assert_eq!(look(&mut watchdog, 400, None).dial, None, "one look at a time");
    let steps = look(&mut watchdog, 500, Some(Look { at: Reach(0b111), open: Reach(0b001) }));
    assert_eq!((steps.dial, steps.rebuild), (Some(Reach(0b110)), false), "those that are missing, at once");
    assert_eq!(steps.why, Some("some of its addresses take no connections"));
    let steps = look(&mut watchdog, 600, Some(Look { at: Reach(0b110), open: Reach(0b100) }));
    assert!(steps.rebuild, "a majority is there again");
    // And one that goes is no reason.
    let steps = look(&mut watchdog, 700, Some(Look { at: Reach(0b111), open: Reach(0b100) }));
    assert_eq!((steps.rebuild, steps.dial), (false, Some(Reach(0b011))));
}

#[test]
fn the_looks_say_why() {
    let why = |open| {
        let mut watchdog = Watchdog::new(Reach(0b111), Moment::START);
        look(&mut watchdog, 100, Some(Look { at: Reach(0b111), open: Reach(open) })).why
    };
    assert_eq!(why(0), Some("nobody listens at its addresses"));
    assert_eq!(why(0b111), Some("it takes connections and does not answer"));
}
