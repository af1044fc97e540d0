//! Who waits is woken by whatever frees capacity, at that very instant.

use tollgate::actors::Wait;
use tollgate::policy::Reason;

use super::line::{LONG, Line, end, got, refusal, settled, until};
use crate::support::{bucket, concurrency, request, rolling, sleep_ms, within};

#[tokio::test(start_paused = true)]
async fn a_completion_wakes_at_once() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        let waiting = line.join("a", &[("c", 1)]).await;
        assert_eq!(line.waiters("c").await, 1);
        sleep_ms(123).await;
        end(holder).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 123)]);
        end(got(waiting).await).await;
        line.assert_nothing_left();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_completion_gives_back_wakes_at_once() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 600), bucket("b", 10, 1, 1_000)]).await;
        for (name, key) in [("a", "r"), ("b", "b")] {
            let holder = line.hold(&[(key, 10)]).await;
            let waiting = line.join(name, &[(key, 4)]).await;
            holder.complete_with([(key, 6)]).await.expect("completed");
            end(got(waiting).await).await;
        }
        assert_eq!(line.served_at(), [("a".to_owned(), 0), ("b".to_owned(), 0)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_wakes_at_once() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        let waiting = line.join("a", &[("c", 1)]).await;
        drop(holder);
        drop(got(waiting).await);
        assert_eq!(line.served_at(), [("a".to_owned(), 0)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_expiry_wakes_at_its_instant() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 30), rolling("r", 1, 60)]).await;
        let (_slot, _use) = (line.hold(&[("c", 1)]).await.detach(), line.hold(&[("r", 1)]).await.detach());
        sleep_ms(7).await;
        let waiting = [line.join("c", &[("c", 1)]).await, line.join("r", &[("r", 1)]).await];
        until(&line, 29_999).await;
        assert_eq!(line.served(), Vec::<String>::new());
        until(&line, 60_000).await;
        assert_eq!(line.served_at(), [("c".to_owned(), 30_000), ("r".to_owned(), 60_000)]);
        for caller in waiting {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refill_wakes_in_the_millisecond_in_which_it_can_pay() {
    within(1_000_000, async {
        let line = Line::of([bucket("b", 10, 7, 3)]).await; // A unit takes 428.57 ms.
        drop(line.hold(&[("b", 10)]).await);
        let callers = [line.join("one", &[("b", 1)]).await, line.join("three", &[("b", 3)]).await];
        sleep_ms(10_000).await;
        assert_eq!(line.served_at(), [("one".to_owned(), 429), ("three".to_owned(), 1_715)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refill_wakes_only_those_it_can_pay_for() {
    within(1_000_000, async {
        let line = Line::of([bucket("b", 100, 10, 1)]).await;
        drop(line.hold(&[("b", 100)]).await);
        for n in 0..50 {
            line.join(&n.to_string(), &[("b", 5)]).await;
        }
        for half_seconds in 1..=50 {
            until(&line, half_seconds * 500 - 1).await;
            assert_eq!(line.served().len() as u64, half_seconds - 1);
            until(&line, half_seconds * 500).await;
            assert_eq!(line.served().len() as u64, half_seconds);
        }
        let refused = line.tollgate.totals().denied;
        assert!(refused <= 110, "{refused} attempts were refused: each caller tries when it comes and is first once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_raise_wakes_at_once() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000), rolling("t:{x}", 1, 1_000)]).await;
        let _held = (line.hold(&[("c", 1)]).await, line.hold(&[("t:a", 1)]).await);
        let callers = [line.join("c", &[("c", 1)]).await, line.join("t", &[("t:a", 1)]).await];
        line.put(concurrency("c", 2, 1_000)).await;
        line.put(rolling("t:{x}", 2, 1_000)).await;
        assert_eq!(line.served_at(), [("c".to_owned(), 0), ("t".to_owned(), 0)]);
        for caller in callers {
            drop(got(caller).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_decrease_wakes_at_once() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 10, 1_000)]).await;
        let (big, _small) = (line.hold(&[("c", 6)]).await, line.hold(&[("c", 1)]).await);
        line.put(concurrency("c", 5, 1_000)).await;
        let waiting = line.join("a", &[("c", 2)]).await;
        sleep_ms(20_000).await;
        assert_eq!(line.served(), Vec::<String>::new());
        end(big).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 20_000)]);
        drop(got(waiting).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_decrease_is_driven_by_expiry_alone() {
    within(1_000_000, async {
        let line = Line::of([rolling("r", 10, 60), concurrency("c", 10, 60), bucket("b", 10, 1, 10)]).await;
        for key in ["r", "c", "b"] {
            let _grant = line.hold(&[(key, 7)]).await.detach();
        }
        for lower in [rolling("r", 5, 60), concurrency("c", 5, 60), bucket("b", 5, 1, 10)] {
            line.put(lower).await;
        }
        for (key, applied_at) in [("b", 20_000), ("r", 60_000), ("c", 60_000)] {
            until(&line, applied_at.max(line.elapsed_ms())).await;
            let limit = line.tollgate.limit(&crate::support::pattern(key)).await.expect("answers").expect("defined");
            assert_eq!((limit.definition.capacity.get(), limit.pending_decrease_to), (5, None), "{key}");
        }
        drop(line.hold(&[("r", 5), ("c", 5)]).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_decrease_by_expiry_wakes_at_its_instant() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 10, 60)]).await;
        let _grant = line.hold(&[("c", 7)]).await.detach();
        line.put(concurrency("c", 5, 60)).await;
        let waiting = line.join("a", &[("c", 1)]).await;
        sleep_ms(100_000).await;
        assert_eq!(line.served_at(), [("a".to_owned(), 60_000)]);
        drop(got(waiting).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_below_the_amount_ends_the_wait() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 10, 1_000)]).await;
        let _held = line.hold(&[("c", 8)]).await;
        let waiting = line.join("a", &[("c", 6)]).await;
        line.put(concurrency("c", 5, 1_000)).await;
        assert_eq!(refusal(waiting).await.reason.code(), "never_fits:c");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deleting_a_limit_answers_its_waiters() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000), concurrency("t:{x}", 1, 1_000)]).await;
        let _held = (line.hold(&[("c", 1)]).await, line.hold(&[("t:a", 1)]).await);
        let callers = [line.join("c", &[("c", 1)]).await, line.join("t", &[("t:a", 1)]).await];
        line.delete("c").await;
        line.delete("t:{x}").await;
        for (caller, key) in callers.into_iter().zip(["c", "t:a"]) {
            assert_eq!(refusal(caller).await.reason.code(), format!("unknown_limit_key:{key}"));
        }
        assert_eq!((line.tollgate.waiting(), line.elapsed_ms()), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deleting_a_limit_answers_those_who_wait_for_another_key_too() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000), concurrency("d", 1, 1_000)]).await;
        let holder = line.hold(&[("c", 1)]).await;
        let waiting = line.join("a", &[("c", 1), ("d", 1)]).await;
        line.delete("d").await;
        end(holder).await;
        assert_eq!(refusal(waiting).await.reason.code(), "unknown_limit_key:d");
        assert_eq!(line.available("c").await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_template_takes_over_from_a_deleted_definition_and_wakes() {
    within(1_000_000, async {
        let line = Line::of([concurrency("t:a", 1, 1_000), concurrency("t:{x}", 2, 1_000)]).await;
        let _held = line.hold(&[("t:a", 1)]).await;
        let waiting = line.join("a", &[("t:a", 1)]).await;
        line.delete("t:a").await;
        drop(got(waiting).await);
        settled().await;
        assert_eq!((line.tollgate.waiting(), line.elapsed_ms()), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_free_limit_keeps_nobody_waiting() {
    within(1_000_000, async {
        let line = Line::of([concurrency("c", 1, 1_000)]).await;
        let lease = line.tollgate.acquire(request(&[("c", 1)]), Wait::at_most(LONG)).await.expect("granted");
        assert_eq!(line.elapsed_ms(), 0);
        drop(lease);
        let code = line.tollgate.acquire(request(&[("c", 2)]), Wait::at_most(LONG)).await.expect_err("too much").reason;
        assert_eq!(code, Reason::NeverFits(crate::support::key("c")));
    })
    .await;
}
