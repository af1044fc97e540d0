//! Actors that die while callers wait: nobody loses its place, and nothing is granted twice.

use super::line::{Line, end, got, settled};
use crate::support::{concurrency, key, rolling, sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn a_killed_rate_limiter_loses_nobody() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000), rolling("r", 1, 60)]).await;
        let (slot, _use) = (line.hold(&[("c", 1)]).await, line.hold(&[("r", 1)]).await.detach());
        let mut callers = Vec::new();
        for name in ["c1", "c2"] {
            callers.push(line.join(name, &[("c", 1)]).await);
        }
        let last = line.join("r", &[("r", 1)]).await;
        for text in ["c", "r"] {
            line.tollgate.rate_limiter_actor(&key(text)).expect("it runs").kill();
        }
        sleep_ms(5_000).await;
        assert_eq!((line.waiters("c").await, line.waiters("r").await, line.available("c").await), (2, 1, 0));
        end(slot).await;
        for caller in callers {
            end(got(caller).await).await;
        }
        drop(got(last).await);
        let at = |name: &str, ms| (name.to_owned(), ms);
        assert_eq!(line.served_at(), [at("c1", 5_000), at("c2", 5_000), at("r", 60_000)], "its timer was set again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn killing_every_actor_again_and_again_loses_nobody() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000), concurrency("t:{x}", 1, 1_000)]).await;
        let held = (line.hold(&[("c", 1)]).await, line.hold(&[("t:a", 1)]).await);
        let mut callers = Vec::new();
        for n in 0..20 {
            let text = ["c", "t:a"][n % 2];
            callers.push(line.join(&n.to_string(), &[(text, 1)]).await);
            match n % 4 {
                0 => line.tollgate.registry_actor().into_iter().for_each(|actor| actor.kill()),
                1 => line.tollgate.backend_actor().into_iter().for_each(|actor| actor.kill()),
                _ => line.tollgate.rate_limiter_actor(&key(text)).into_iter().for_each(|actor| actor.kill()),
            }
            sleep_ms(20_000).await;
        }
        drop(held);
        for caller in callers {
            end(got(caller).await).await;
        }
        settled().await;
        line.assert_nothing_left();
        assert_eq!((line.available("c").await, line.available("t:a").await), (1, 1));
        assert_eq!(line.served().len(), 20);
    })
    .await;
}
