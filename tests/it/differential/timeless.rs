//! Random operations over limits that free nothing by themselves: the same answers wherever the books are.

use std::sync::Arc;

use fastrand::Rng;
use tollgate::clock::Clock;
use tollgate::policy::DefinitionFields;

use super::{KEYS, Nobody, OVERAGES, Pair};
use crate::support::place::Place;
use crate::support::{LONG, bucket, concurrency, rolling};

/// Few, because limits that free nothing are soon full.
const OPERATIONS: usize = 120;

/// A random definition of `text`. It keeps its policy for what is used beyond: a ledger may book that elsewhere.
fn definition(rng: &mut Rng, text: &str, seed: u64) -> DefinitionFields {
    let capacity = rng.u64(1..20);
    let fields = match text.as_bytes()[0] {
        b'r' => rolling(text, capacity, LONG),
        b'c' => concurrency(text, capacity, LONG),
        _ => bucket(text, capacity, 1, LONG),
    };
    let place = KEYS.iter().position(|key| *key == text).expect("one of the keys");
    DefinitionFields { overage: OVERAGES[(seed as usize + place) % 3], ..fields }
}

pub(crate) async fn random_operations_get_the_answers_of_the_model(place: Place) {
    let clock = Clock::start();
    let ledger = place.ledger(clock.clone(), Arc::new(Nobody)).await;
    for seed in 0..if place.differs.is_exact() { 200 } else { 10 } {
        println!("seed {seed}");
        let both = (Arc::clone(&ledger), clock.clone());
        let (mut pair, mut rng) = (Pair::new(seed, both, false), Rng::with_seed(seed));
        for text in &KEYS[..6] {
            pair.put(definition(&mut rng, text, seed)).await;
        }
        for _ in 0..OPERATIONS {
            pair.timeless_step(&mut rng).await;
        }
        pair.compare().await;
    }
}

impl Pair {
    async fn timeless_step(&mut self, rng: &mut Rng) {
        match rng.u8(0..100) {
            0..40 => self.reserve(rng).await,
            40..75 => self.complete(rng).await,
            75..80 => self.renew(rng).await,
            80..85 => self.peek(rng).await,
            85..97 => {
                let text = KEYS[rng.usize(0..6)];
                self.put(definition(rng, text, self.seed)).await;
                self.sleep_ms(0).await;
            }
            _ => self.compare().await,
        }
    }
}
