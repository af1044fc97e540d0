//! Leaving a line: by deadline, cancellation, shutdown, or because there is no room. Nothing stays behind.

use std::time::Duration;

use tollgate::actors::Wait;
use tollgate::config::Settings;
use tollgate::policy::{Priority, Reason};

use super::line::{LONG, Line, end, got, refusal, settled, until};
use crate::support::{bucket, concurrency, request, rolling, sleep_ms, within};

fn at_most_ms(ms: u64) -> Wait {
    Wait::at_most(Duration::from_millis(ms))
}

#[tokio::test(start_paused = true)]
async fn a_full_line_refuses_at_once() {
    within(1_000_000, async {
        let settings = Settings { max_waiters: 2, max_waiters_total: 3, ..Settings::default() };
        let line = Line::with([concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)], settings).await;
        let (c, _d) = (line.hold(&[("c", 1)]).await, line.hold(&[("d", 1)]).await);
        let first = line.join("c", &[("c", 1)]).await;
        let _others = (line.join("c", &[("c", 1)]).await, line.join("d", &[("d", 1)]).await);
        for (key, problem) in [("c", "this line is full"), ("d", "all lines together are full")] {
            let refused = refusal(line.join(key, &[(key, 1)]).await).await;
            assert_eq!(refused.reason, Reason::Overloaded, "{problem}");
            assert!(1 <= refused.retry_after_ms());
        }
        assert_eq!((line.elapsed_ms(), line.tollgate.waiting()), (0, 3));
        end(c).await;
        let _lease = got(first).await;
        let _again = line.join("d", &[("d", 1)]).await;
        assert_eq!(line.tollgate.waiting(), 3, "there is room again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_known_to_be_too_long_is_refused_at_once() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 1, 60), bucket("b", 10, 1, 1)]).await;
        for key in ["r", "b"] {
            let amount = if key == "r" { 1 } else { 10 };
            end(line.hold(&[(key, amount)]).await).await;
            let known_ms = if key == "r" { 60_000 } else { 10_000 };
            let refused = line.tollgate.acquire(request(&[(key, amount)]), at_most_ms(known_ms - 1)).await;
            let refused = refused.expect_err("too long");
            assert_eq!((refused.reason.clone(), refused.retry_after_ms()), (Reason::Denied, known_ms));
            assert_eq!(line.elapsed_ms(), 0);
        }
        let waiting = line.join_as("r", request(&[("r", 1)]), at_most_ms(60_001)).await;
        drop(got(waiting).await);
        assert_eq!(line.elapsed_ms(), 60_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_exactly_the_known_time_is_long_enough() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 1, 60), bucket("b", 1, 1, 60)]).await;
        for (turn, key) in ["r", "b"].into_iter().enumerate() {
            end(line.hold(&[(key, 1)]).await).await;
            let waiting = line.join_as(key, request(&[(key, 1)]), at_most_ms(60_000)).await;
            drop(got(waiting).await);
            assert_eq!(line.elapsed_ms(), 60_000 * (turn as u64 + 1));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_tells_how_things_stand_then() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60)]).await;
        let _grant = line.hold(&[("r", 8)]).await.detach();
        let waiting = line.join_as("r", request(&[("r", 6)]), at_most_ms(20_000)).await;
        let refused = refusal(waiting).await;
        assert_eq!((refused.retry_after_ms(), line.elapsed_ms()), (40_000, 20_000));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_a_completion_may_shorten_is_not_known() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 1, 60)]).await;
        let holder = line.hold(&[("r", 1)]).await;
        let waiting = line.join_as("r", request(&[("r", 1)]), at_most_ms(1_000)).await;
        holder.complete_with([("r", 0)]).await.expect("completed");
        drop(got(waiting).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_zero_is_a_plain_reserve() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000)]).await;
        let lease = line.tollgate.acquire(request(&[("c", 1)]), at_most_ms(0)).await.expect("it fits");
        let refused = line.tollgate.acquire(request(&[("c", 1)]), at_most_ms(0)).await.expect_err("full");
        assert_eq!((refused.reason.clone(), refused.retry_after_ms()), (Reason::Denied, 1_000_000));
        assert_eq!(line.tollgate.waiting(), 0);
        drop(lease);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_leaves_nothing() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        let callers = [250, 250, 500].map(at_most_ms).map(|wait| line.join_as("x", request(&[("c", 1)]), wait));
        let mut refused = Vec::new();
        for caller in callers {
            refused.push(caller.await);
        }
        until(&line, 249).await;
        assert_eq!(line.waiters("c").await, 3);
        until(&line, 250).await;
        assert_eq!(line.waiters("c").await, 1);
        until(&line, 500).await;
        for caller in refused {
            let refused = refusal(caller).await;
            assert_eq!((refused.reason.clone(), refused.denied.len()), (Reason::Denied, 1));
            assert!(1 <= refused.retry_after_ms());
        }
        end(holder).await;
        line.assert_nothing_left();
        drop(line.hold(&[("c", 1)]).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_front_lets_the_next_one_try() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 10, 1_000)]).await;
        let _held = line.hold(&[("c", 5)]).await;
        let big = line.join("big", &[("c", 6)]).await;
        let deadline = line.join_as("deadline", request(&[("c", 7)]), at_most_ms(300)).await;
        let small = line.join("small", &[("c", 5)]).await;
        big.abort();
        settled().await;
        assert_eq!(line.served(), Vec::<String>::new());
        drop(got(small).await);
        assert_eq!(line.served_at(), [("small".to_owned(), 300)]);
        assert_eq!(refusal(deadline).await.reason, Reason::Denied);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_leaves_nothing_wherever_it_is_dropped() {
    within(1_000_000, async {
        // Capacity frees after one step of the runtime more each time, and the caller is dropped after another number:
        // among them are the moments between joining and being seen, and between the grant and its delivery.
        for freed_after in 0..25 {
            for dropped_after in 0..25 {
                let line = Line::of([concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)]).await;
                let holder = line.hold(&[("c", 1)]).await;
                let tollgate = line.tollgate.clone();
                let wanted = request(&[("d", 1), ("c", 1)]);
                let caller = tokio::spawn(async move { tollgate.acquire(wanted, Wait::at_most(LONG)).await });
                let freeing = tokio::spawn(async move {
                    for _ in 0..freed_after {
                        tokio::task::yield_now().await;
                    }
                    drop(holder);
                });
                for _ in 0..dropped_after {
                    tokio::task::yield_now().await;
                }
                caller.abort();
                drop(caller.await);
                freeing.await.expect("it did not panic");
                settled().await;
                line.assert_nothing_left();
                assert_eq!((line.available("c").await, line.available("d").await), (1, 1));
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_takes_goes_to_the_next() {
    within(1_000_000, async {
        for steps in 0..25 {
            let line = Line::of([bucket("b", 1, 1, 1_000)]).await;
            let holder = line.hold(&[("b", 1)]).await;
            let first = line.join_with("first", Priority::High, &[("b", 1)]).await;
            let second = line.join("second", &[("b", 1)]).await;
            holder.complete_with([("b", 0)]).await.expect("completed");
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            first.abort();
            match first.await {
                // It was in time: dropping its lease charges it, as it may have been used.
                Ok(answer) => drop(answer.expect("granted").complete_with([("b", 0)]).await),
                Err(cancelled) => assert!(cancelled.is_cancelled()),
            }
            end(got(second).await).await;
            assert_eq!(line.elapsed_ms(), 0, "the second did not wait for the refill");
            line.assert_nothing_left();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutting_down_answers_everybody_who_waits() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)]).await;
        let held = (line.hold(&[("c", 1)]).await, line.hold(&[("d", 1)]).await);
        let mut callers = Vec::new();
        for n in 0..50 {
            callers.push(line.join("x", &[("c", 1), ("d", 1)][n % 2..=n % 2]).await);
        }
        sleep_ms(10).await;
        line.tollgate.shutdown().await;
        for caller in callers {
            assert_eq!(refusal(caller).await.reason, Reason::Overloaded);
        }
        drop(held);
        line.assert_nothing_left();
        assert_eq!(line.elapsed_ms(), 10);
    })
    .await;
}
