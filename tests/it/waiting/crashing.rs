//! Actors that die while callers wait: nobody loses its place, and nothing is granted twice.

use super::line::{Line, got};
use crate::support::place::Place;
use crate::support::{concurrency, key, rolling, sleep_ms};

pub(crate) async fn a_killed_rate_limiter_loses_nobody(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000), rolling("r", 1, 3)]).await;
    let (mut slot, _use) = (line.hold(&[("c", 1)]).await, line.hold(&[("r", 1)]).await.detach());
    let mut callers = Vec::new();
    for name in ["c1", "c2"] {
        callers.push((name, line.join(name, &[("c", 1)]).await));
    }
    let last = line.join("r", &[("r", 1)]).await;
    for text in ["c", "r"] {
        line.tollgate.rate_limiter_actor(&key(text)).expect("it runs").kill();
    }
    sleep_ms(500).await;
    let stands = async || (line.waiters("c").await, line.waiters("r").await, line.available("c").await);
    line.soon("everybody has its place", async || stands().await == (2, 1, 0)).await;
    let mut due = Vec::new();
    for (name, caller) in callers {
        due.push((name, line.elapsed_ms()));
        line.end(slot).await;
        slot = got(caller).await;
    }
    line.end(slot).await;
    drop(got(last).await);
    due.push(("r", 3_000)); // Its timer was set again.
    line.assert_served(due).await;
}

pub(crate) async fn killing_every_actor_again_and_again_loses_nobody(place: Place) {
    let line = Line::of(place, [concurrency("c", 1, 1_000), concurrency("t:{x}", 1, 1_000)]).await;
    let held = (line.hold(&[("c", 1)]).await, line.hold(&[("t:a", 1)]).await);
    let mut callers = Vec::new();
    // Those who die more often than twice a second take the whole tree with them.
    let (kills, interval_ms) = if line.differs().is_exact() { (20, 20_000) } else { (6, 600) };
    for n in 0..kills {
        let text = ["c", "t:a"][n % 2];
        callers.push(line.join(&n.to_string(), &[(text, 1)]).await);
        match n % 4 {
            0 => line.tollgate.registry_actor().into_iter().for_each(|actor| actor.kill()),
            1 => line.tollgate.backend_actor().into_iter().for_each(|actor| actor.kill()),
            _ => line.tollgate.rate_limiter_actor(&key(text)).into_iter().for_each(|actor| actor.kill()),
        }
        sleep_ms(interval_ms).await;
    }
    drop(held);
    for caller in callers {
        line.end(got(caller).await).await;
    }
    line.assert_nothing_left().await;
    assert_eq!((line.available("c").await, line.available("t:a").await), (1, 1));
    assert_eq!(line.served().len(), kills);
}
