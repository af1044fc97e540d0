//! The ledger against the plainest model of it: random operations, the same answers.

mod meter;
mod model;
mod timeless;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tollgate::backends::{Applied, Backend, Observer, Registered};
use tollgate::clock::Clock;
use tollgate::policy::{
    Amounts, Complete, DefinitionFields, Key, LeaseId, LimitState, Mode, Overage, Refusal, Renew, Reserve, Restraint,
    Seconds,
};

use crate::support::place::{self, tests_at_each_place};
use crate::support::{bucket, checked, concurrency, key, rolling, sleep_ms, used, within};
use model::Model;

const KEYS: [&str; 7] = ["r1", "r2", "c1", "c2", "b1", "b2", "gone"];
const OVERAGES: [Overage; 3] = [Overage::Deny, Overage::Debt, Overage::Repay];
const OPERATIONS: usize = 4_000;
const LEASES: u64 = 60;

tests_at_each_place! {{
    timeless:
        random_operations_get_the_answers_of_the_model;
}}

struct Nobody;

impl Observer for Nobody {
    fn capacity_freed(&self, _: &Key) {}
}

/// A random definition of `text`, whose kind its first letter gives.
fn definition(rng: &mut Rng, text: &str) -> DefinitionFields {
    let capacity = rng.u64(1..20);
    let fields = match text.as_bytes()[0] {
        b'r' => rolling(text, capacity, rng.u64(1..8)),
        b'c' => concurrency(text, capacity, rng.u64(1..8)),
        _ => bucket(text, capacity, rng.u64(1..30), meter::PERIODS[rng.usize(0..6)]),
    };
    let overage = OVERAGES[rng.usize(0..3)];
    let mode = if rng.u8(0..8) == 0 { Mode::Shadow } else { Mode::Enforce };
    DefinitionFields { overage, mode, ..fields }
}

/// Both sides, which are asked the same.
struct Pair {
    ledger: Arc<dyn Backend>,
    /// Whether it says exactly how long to wait.
    knows_waits: bool,
    clock: Clock,
    model: Model,
    /// Stands before each key in the ledger, which may be the same for several pairs.
    prefix: String,
    version: u64,
    elapsed_ms: u64,
    seed: u64,
    /// Leases by number; a number is used again under a new id once in a while.
    ids: HashMap<u64, LeaseId>,
}

impl Pair {
    fn new(seed: u64, (ledger, clock): (Arc<dyn Backend>, Clock), knows_waits: bool) -> Self {
        let (prefix, model, ids) = (format!("{seed}:"), Model::default(), HashMap::new());
        Self { ledger, knows_waits, clock, model, prefix, version: 0, elapsed_ms: 0, seed, ids }
    }

    fn key(&self, text: &str) -> Key {
        key(&format!("{}{text}", self.prefix))
    }

    /// What is told of a refusal: its code, and its wait where it can be known.
    fn told(&self, refusal: &Refusal) -> (String, u64) {
        (refusal.reason.code().replace(&self.prefix, ""), if self.knows_waits { refusal.retry_after_ms() } else { 0 })
    }

    /// The answer of the model, as the ledger would tell it.
    fn wanted(&self, answer: model::Answer) -> model::Answer {
        answer.map_err(|(code, wait)| (code, if self.knows_waits { wait } else { 0 }))
    }

    fn id(&mut self, rng: &mut Rng) -> LeaseId {
        let number = rng.u64(0..LEASES);
        if rng.u8(0..3) == 0 {
            self.ids.remove(&number);
        }
        *self.ids.entry(number).or_insert_with(|| LeaseId::from(rng.u128(..)))
    }

    async fn put(&mut self, fields: DefinitionFields) {
        self.version += 1;
        let there = DefinitionFields { key: self.key(&fields.key).to_string(), ..fields.clone() };
        let registered = Arc::new(Registered { definition: checked(there), version: self.version });
        let applied = self.ledger.apply(&registered).get().await.expect("applied");
        let pending = self.model.put(fields, self.elapsed_ms);
        let theirs = match applied {
            Applied::InForce(LimitState::Active) => None,
            Applied::InForce(LimitState::Decreasing { to }) => Some(to.get()),
            Applied::Superseded { version } => panic!("version {version} is no newer one"),
        };
        assert_eq!(theirs, pending, "seed {}: the state after a change", self.seed);
    }

    async fn reserve(&mut self, rng: &mut Rng) {
        let asked = requirements(rng);
        let here = Amounts::to_reserve(asked.iter().map(|(text, amount)| (key(text), *amount))).expect("good amounts");
        let there = asked.iter().map(|(text, amount)| (self.key(text), *amount));
        let amounts = Amounts::to_reserve(there).expect("good amounts");
        let lease_id = self.id(rng);
        let wanted = self.model.reserve(lease_id, &here, self.elapsed_ms);
        let wanted = self.wanted(wanted);
        let answer = self.ledger.reserve(&Reserve { lease_id, ..Reserve::new(amounts.clone()) }).get().await;
        let answer = answer.inspect_err(|refusal| self.ledger.count_refusal(refusal));
        let answer = answer.map(drop).map_err(|refusal| self.told(&refusal));
        assert_eq!(answer, wanted, "seed {} at {} ms: reserving {amounts:?}", self.seed, self.elapsed_ms);
    }

    async fn peek(&mut self, rng: &mut Rng) {
        let asked = requirements(rng);
        let here = Amounts::to_peek(asked.iter().map(|(text, amount)| (key(text), *amount))).expect("good amounts");
        let there = asked.iter().map(|(text, amount)| (self.key(text), *amount));
        let amounts = Amounts::to_peek(there).expect("good amounts");
        let wanted = self.model.peek(&here, self.elapsed_ms);
        let wanted = self.wanted(wanted);
        let answer = self.ledger.peek(&amounts).get().await;
        let answer = answer.map_err(|refusal| self.told(&refusal));
        assert_eq!(answer, wanted, "seed {} at {} ms: peeking at {amounts:?}", self.seed, self.elapsed_ms);
    }

    async fn complete(&mut self, rng: &mut Rng) {
        let lease_id = self.id(rng);
        let mut actuals: Vec<_> = self.model.keys_of(lease_id);
        actuals.truncate(rng.usize(0..4));
        if rng.u8(0..10) == 0 {
            actuals.push("gone".to_owned());
        }
        let actuals: Vec<_> = actuals.iter().map(|text| (text.as_str(), rng.u64(0..25))).collect();
        let there: Vec<_> = actuals.iter().map(|(text, amount)| (format!("{}{text}", self.prefix), *amount)).collect();
        let there: Vec<_> = there.iter().map(|(text, amount)| (text.as_str(), *amount)).collect();
        let done = self.ledger.complete(&Complete { lease_id, actuals: used(&there) }).get().await;
        let wanted = self.model.complete(lease_id, &actuals, self.elapsed_ms);
        assert_eq!(done.is_ok(), wanted, "seed {} at {} ms: completing with {actuals:?}", self.seed, self.elapsed_ms);
    }

    async fn renew(&mut self, rng: &mut Rng) {
        let lease_id = self.id(rng);
        let seconds = if rng.bool() { None } else { Some(rng.u64(1..10)) };
        let timeout = seconds.map(|seconds| Seconds::new(seconds).expect("positive"));
        let renewed = self.ledger.renew(&Renew { lease_id, timeout }).get().await;
        let wanted = self.model.renew(lease_id, seconds, self.elapsed_ms);
        assert_eq!(renewed.is_ok(), wanted, "seed {} at {} ms: renewing", self.seed, self.elapsed_ms);
    }

    async fn restrain(&mut self, rng: &mut Rng) {
        let text = KEYS[rng.usize(0..7)];
        // Some have passed, and some last longer than all holds.
        let ms = if rng.bool() { rng.u64(0..50) } else { rng.u64(0..9_000) };
        let (until, until_ms) = (self.clock.now().after(Duration::from_millis(ms)), self.elapsed_ms + ms);
        let restraint = if rng.u8(0..4) == 0 {
            self.model.pause(text, until_ms, self.elapsed_ms);
            Restraint::Pause { until }
        } else {
            let remaining = rng.u64(0..15);
            self.model.tighten(text, remaining, until_ms, self.elapsed_ms);
            Restraint::Tighten { remaining, until }
        };
        self.ledger.restrain(&self.key(text), restraint).get().await.expect("it answers");
    }

    /// Lets time pass, and drives pending decreases as the actors of the limits would.
    async fn sleep_ms(&mut self, ms: u64) {
        sleep_ms(ms).await;
        self.elapsed_ms += ms;
        for text in &KEYS[..6] {
            self.ledger.settle(&self.key(text)).get().await.expect("it answers");
            self.model.settle(text, self.elapsed_ms);
        }
    }

    /// Every limit and every lease must look the same.
    async fn compare(&mut self) {
        for text in KEYS {
            let usage = self.ledger.usage(&self.key(text)).get().await.expect("it answers");
            let theirs = usage.map(|usage| {
                let paused_ms = usage.paused_until.map_or(0, |until| until.since(self.clock.now()).as_millis() as u64);
                (usage.capacity, usage.available, usage.debt, usage.withheld, paused_ms)
            });
            let ours = self.model.look(text, self.elapsed_ms);
            assert_eq!(theirs, ours, "seed {} at {} ms: `{text}`", self.seed, self.elapsed_ms);
        }
        for lease_id in self.ids.values() {
            let view = self.ledger.lease(*lease_id).get().await.expect("it answers");
            let ours = self.model.is_live(*lease_id, self.elapsed_ms);
            assert_eq!(view.is_some_and(|view| view.is_live), ours, "seed {}: {lease_id}", self.seed);
        }
    }

    async fn step(&mut self, rng: &mut Rng) {
        match rng.u8(0..100) {
            0..40 => self.reserve(rng).await,
            40..65 => self.complete(rng).await,
            65..72 => self.renew(rng).await,
            72..77 => self.peek(rng).await,
            77..80 => self.restrain(rng).await,
            80..84 => {
                let text = KEYS[rng.usize(0..6)];
                self.put(definition(rng, text)).await;
            }
            84..92 => {
                let ms = if rng.bool() { rng.u64(0..50) } else { rng.u64(0..2_500) };
                self.sleep_ms(ms).await;
            }
            92..94 => {
                while self.ledger.sweep() {}
                self.model.sweep(self.elapsed_ms);
            }
            _ => self.compare().await,
        }
    }
}

fn requirements(rng: &mut Rng) -> Vec<(&'static str, u64)> {
    let mut wanted = Vec::new();
    for _ in 0..rng.usize(1..4) {
        // `gone` is defined nowhere.
        let place = if rng.u8(0..60) == 0 { 6 } else { rng.usize(0..6) };
        wanted.push((KEYS[place], rng.u64(1..10)));
    }
    wanted
}

/// In memory only: elsewhere time cannot be had to the millisecond.
#[tokio::test(start_paused = true)]
async fn random_operations_get_the_answers_of_the_model() {
    let place = place::memory().await;
    for seed in 0..20 {
        println!("seed {seed}");
        within(100_000_000, async {
            let clock = Clock::start();
            let ledger = place.ledger(clock.clone(), Arc::new(Nobody)).await;
            let (mut pair, mut rng) = (Pair::new(seed, (ledger, clock), true), Rng::with_seed(seed));
            for text in &KEYS[..6] {
                pair.put(definition(&mut rng, text)).await;
            }
            for _ in 0..OPERATIONS {
                pair.step(&mut rng).await;
            }
            pair.compare().await;
        })
        .await;
    }
}
