//! Who waits for a limit that its provider restrains is woken at the end of that, and not before.

use std::time::Duration;

use tollgate::Wait;
use tollgate::policy::Restraint;

use super::line::{LONG, Line, end, got, refusal, settled, until};
use crate::support::{bucket, concurrency, key, one_of_each_kind, request, rolling, sleep_ms, within};

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

/// Lets the provider ask to wait for `ms` from now.
async fn pause(line: &Line, text: &str, ms: u64) {
    let until = line.tollgate.now().after(Duration::from_millis(ms));
    line.tollgate.restrain(&key(text), Restraint::Pause { until }).await.expect("it answers");
    settled().await;
}

/// Lets the provider say what it has left until `ms` from now.
async fn tighten(line: &Line, text: &str, remaining: u64, ms: u64) {
    let until = line.tollgate.now().after(Duration::from_millis(ms));
    line.tollgate.restrain(&key(text), Restraint::Tighten { remaining, until }).await.expect("it answers");
    settled().await;
}

fn at_most(ms: u64) -> Wait {
    Wait::at_most(Duration::from_millis(ms))
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_pause_wakes_exactly_then() {
    within(1_000_000, async {
        let line = Line::of(one_of_each_kind(10, 60)).await;
        let mut callers = Vec::new();
        for (kind, ms) in KINDS.into_iter().zip([5_000, 7_000, 9_000]) {
            pause(&line, kind, ms).await;
            callers.push(line.join(kind, &[(kind, 1)]).await);
            assert_eq!(line.waiters(kind).await, 1);
        }
        until(&line, 4_999).await;
        assert_eq!(line.served(), Vec::<String>::new());
        until(&line, 20_000).await;
        let served_at = KINDS.into_iter().zip([5_000, 7_000, 9_000]).map(|(kind, ms)| (kind.to_owned(), ms));
        assert_eq!(line.served_at(), served_at.collect::<Vec<_>>());
        for caller in callers {
            end(got(caller).await).await;
        }
        line.assert_nothing_left();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_prolonged_keeps_everybody_waiting() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60)]).await;
        pause(&line, "r", 5_000).await;
        let callers = [line.join("a", &[("r", 1)]).await, line.join("b", &[("r", 1)]).await];
        sleep_ms(4_999).await;
        pause(&line, "r", 20_001).await;
        until(&line, 24_999).await;
        assert_eq!(line.served(), Vec::<String>::new());
        until(&line, 25_000).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 25_000), ("b".to_owned(), 25_000)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_begins_in_front_of_a_line_is_kept() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 600), bucket("b", 10, 1, 1)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        drop(line.hold(&[("b", 10)]).await);
        let callers = [line.join("c", &[("c", 1)]).await, line.join("b", &[("b", 3)]).await];
        pause(&line, "c", 10_000).await;
        pause(&line, "b", 20_000).await;
        sleep_ms(1_000).await;
        end(holder).await;
        until(&line, 9_999).await;
        assert_eq!(line.served(), Vec::<String>::new(), "neither a completion nor a refill ends a pause");
        until(&line, 20_000).await;
        assert_eq!(line.served_at(), [("c".to_owned(), 10_000), ("b".to_owned(), 20_000)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_lasts_longer_than_the_wait_is_refused_at_once() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60)]).await;
        pause(&line, "r", 5_000).await;
        let refused = line.tollgate.acquire(request(&[("r", 1)]), at_most(4_999)).await.expect_err("in vain");
        assert_eq!((refused.reason.code(), refused.retry_after_ms()), ("limit_paused:r".to_owned(), 5_000));
        assert_eq!((line.elapsed_ms(), line.tollgate.waiting()), (0, 0));
        let lease = line.tollgate.acquire(request(&[("r", 1)]), at_most(5_000)).await.expect("just in time");
        assert_eq!(line.elapsed_ms(), 5_000);
        end(lease).await;
        line.assert_nothing_left();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_inside_a_pause_is_refused_with_what_is_left_of_it() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60)]).await;
        pause(&line, "r", 5_000).await;
        let caller = line.join_as("a", request(&[("r", 1)]), at_most(8_000)).await;
        sleep_ms(1_000).await;
        pause(&line, "r", 59_000).await;
        let refused = refusal(caller).await;
        assert_eq!((refused.reason.code(), refused.retry_after_ms()), ("limit_paused:r".to_owned(), 52_000));
        assert_eq!(line.elapsed_ms(), 8_000);
        line.assert_nothing_left();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_withholding_wakes_exactly_then() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60), bucket("b", 10, 1, 1)]).await;
        drop(line.hold(&[("b", 10)]).await);
        sleep_ms(4_000).await;
        tighten(&line, "r", 2, 5_000).await;
        tighten(&line, "b", 0, 3_000).await; // The 4 that have flowed are withheld.
        let mut callers = Vec::new();
        for (name, key, amount) in [("r", "r", 3), ("b", "b", 5)] {
            callers.push(line.join(name, &[(key, amount)]).await);
        }
        tighten(&line, "b", 0, 2_000).await;
        until(&line, 6_999).await;
        assert_eq!(line.served(), Vec::<String>::new());
        until(&line, 10_000).await;
        assert_eq!(line.served_at(), [("b".to_owned(), 7_000), ("r".to_owned(), 9_000)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_completes_under_withholding_wakes_who_fits() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60)]).await;
        let holder = line.hold(&[("r", 6)]).await;
        tighten(&line, "r", 0, 30_000).await;
        let callers = [line.join("a", &[("r", 5)]).await, line.join("b", &[("r", 5)]).await];
        sleep_ms(1_000).await;
        holder.complete_with([("r", 1)]).await.expect("completed");
        until(&line, 40_000).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 1_000)], "of the 9 that are free 4 are withheld");
        until(&line, 70_000).await;
        assert_eq!(line.served_at()[1..], [("b".to_owned(), 60_000)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_those_who_wait_for_the_end_of_a_pause() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 3, 60), rolling("other", 10, 60)]).await;
        pause(&line, "r", 5_000).await;
        let mut callers = Vec::new();
        for name in ["a", "b", "c", "d"] {
            callers.push(line.join(name, &[("r", 1)]).await);
        }
        let refused = line.tollgate.reserve(request(&[("other", 1), ("r", 1)])).await.expect_err("paused");
        assert_eq!((refused.reason.code(), refused.retry_after_ms()), ("limit_paused:r".to_owned(), 5_000));
        assert_eq!(refused.denied.len(), 1);
        until(&line, 5_000).await;
        assert_eq!(line.served(), ["a", "b", "c"]);
        let refused = line.tollgate.reserve(request(&[("r", 1)])).await.expect_err("full");
        assert_eq!((refused.reason.code(), refused.retry_after_ms()), (String::new(), 60_000));
        until(&line, 65_000).await;
        assert_eq!(line.served_at()[3..], [("d".to_owned(), 65_000)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_pause_and_also_the_line_of_another_key() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 2, 600), rolling("r", 10, 60)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        let waiting = line.join("a", &[("c", 2)]).await; // One is left, and may not be taken before its turn.
        pause(&line, "r", 5_000).await;
        let refused = line.tollgate.reserve(request(&[("c", 1), ("r", 1)])).await.expect_err("paused");
        assert_eq!((refused.reason.code(), refused.retry_after_ms()), ("limit_paused:r".to_owned(), 600_000));
        assert_eq!(refused.denied.iter().map(|denied| denied.key.as_str()).collect::<Vec<_>>(), ["c", "r"]);
        end(holder).await;
        drop(got(waiting).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_over_many_keys_goes_through_once_none_is_paused() {
    within(1_000_000, async {
        let line = Line::of([rolling("p", 10, 60), concurrency("c", 1, 600), rolling("q", 10, 60)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        pause(&line, "p", 5_000).await;
        pause(&line, "q", 9_000).await;
        let waiting = line.join("a", &[("p", 1), ("c", 1), ("q", 1)]).await;
        until(&line, 1_000).await;
        end(holder).await;
        let free = [line.available("p").await, line.available("c").await, line.available("q").await];
        assert_eq!(free, [10, 1, 10], "who waits holds nothing");
        until(&line, 20_000).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 9_000)]);
        drop(got(waiting).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_paused_before_its_first_use_is_waited_for() {
    within(1_000_000, async {
        let line = Line::of([rolling("t:{x}", 10, 60)]).await;
        pause(&line, "t:a", 50_000).await;
        let waiting = line.join("a", &[("t:a", 1)]).await;
        drop(line.tollgate.acquire(request(&[("t:b", 1)]), Wait::at_most(LONG)).await.expect("it is another limit"));
        until(&line, 60_000).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 50_000)]);
        drop(got(waiting).await);
    })
    .await;
}
