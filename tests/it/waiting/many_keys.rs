//! Waiting for several limits at once.

use super::line::{Line, end, got, settled, until};
use crate::support::{concurrency, rolling, within};

#[tokio::test(start_paused = true)]
async fn a_caller_waits_until_all_of_its_keys_are_free() {
    within(1_000_000, async {
        let line = Line::of([concurrency("a", 1, 10), rolling("b", 1, 20), concurrency("c", 1, 15)]).await;
        for key in ["a", "b", "c"] {
            let _grant = line.hold(&[(key, 1)]).await.detach();
        }
        let waiting = line.join("x", &[("a", 1), ("b", 1), ("c", 1)]).await;
        until(&line, 19_999).await;
        assert_eq!((line.available("a").await, line.available("c").await), (1, 1), "it holds nothing while it waits");
        until(&line, 20_000).await;
        assert_eq!(line.served_at(), [("x".to_owned(), 20_000)]);
        drop(got(waiting).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_moves_to_the_line_of_the_key_that_stops_it_and_keeps_its_place() {
    within(1_000_000, async {
        let line = Line::of([concurrency("a", 1, 1_000), concurrency("b", 1, 2_000)]).await;
        let (a, b) = (line.hold(&[("a", 1)]).await, line.hold(&[("b", 1)]).await);
        let first = line.join("first", &[("a", 1), ("b", 1)]).await;
        assert_eq!((line.waiters("a").await, line.waiters("b").await), (0, 1), "the longest wait decides");
        end(b).await;
        assert_eq!((line.waiters("a").await, line.waiters("b").await), (1, 0));
        let b = line.hold(&[("b", 1)]).await;
        let second = line.join("second", &[("b", 1)]).await;
        end(a).await;
        assert_eq!((line.waiters("a").await, line.waiters("b").await), (0, 2), "it is stopped by b again");
        end(b).await;
        assert_eq!(line.served(), ["first"], "second is in this line for longer, but came later");
        end(got(first).await).await;
        end(got(second).await).await;
        settled().await;
        line.assert_nothing_left();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn callers_who_cross_do_not_block_each_other() {
    within(1_000_000, async {
        let line = Line::of([concurrency("a", 1, 1_000), concurrency("b", 1, 1_000)]).await;
        let (a, b) = (line.hold(&[("a", 1)]).await, line.hold(&[("b", 1)]).await);
        let mut enders = Vec::new();
        for n in 0..200 {
            let mut keys = [("a", 1), ("b", 1)];
            keys.rotate_left(n % 2);
            let caller = line.join(&n.to_string(), &keys[..1 + n % 3 / 2]).await;
            enders.push(tokio::spawn(async move { end(got(caller).await).await }));
        }
        end(b).await;
        end(a).await;
        for ender in enders {
            ender.await.expect("it did not panic");
        }
        assert_eq!((line.served().len(), line.elapsed_ms()), (200, 0), "nobody waited for a timeout");
        line.assert_nothing_left();
    })
    .await;
}
