//! Whatever is asked once or up to five times, of one server or two, before or after one of them was lost: the balances
//! are the same.

mod asking;
mod both;
mod drawing;

use fastrand::Rng;

use super::super::sharing::{Member, group};
use crate::support::tigerbeetle::Server;
use crate::support::within;
use both::Both;

/// Few, because limits that free nothing are soon full.
const STEPS: usize = 60;
const SEEDS: usize = 6;

/// Instances of a template among them; what each is, its first letter says.
const KEYS: [&str; 8] = ["r1", "r2", "r3", "c1", "c2", "b1", "t:1", "t:2"];
const DEFINED: [&str; 7] = ["r1", "r2", "r3", "c1", "c2", "b1", "t:{x}"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_sent_again_changes_nothing_more() {
    let shared = Server::shared().await;
    within(600, async {
        let [once, one, other]: [Member; 3] = group(&shared.settings()).await;
        let (mut single, mut two) = (vec![once], vec![one, other]);
        for seed in 0..SEEDS as u64 {
            println!("seed {seed}");
            let mut rng = Rng::with_seed(seed);
            let mut both = Both::new(seed, single, two);
            for text in DEFINED {
                both.put(&mut rng, text).await;
            }
            for step in 0..STEPS {
                match rng.u8(..100) {
                    _ if step == STEPS / 2 => both.lose_one(&mut rng, &shared.settings()).await,
                    0..37 => both.reserve(&mut rng).await,
                    37..45 => both.take_and_give_back(&mut rng).await,
                    45..70 => both.complete(&mut rng).await,
                    70..78 => both.renew(&mut rng).await,
                    78..88 => both.replay(&mut rng).await,
                    _ => {
                        let text = DEFINED[rng.usize(..DEFINED.len())];
                        both.put(&mut rng, text).await;
                    }
                }
                both.compare(step).await;
            }
            (single, two) = both.into_members();
        }
    })
    .await;
}
