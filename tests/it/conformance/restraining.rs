//! What a provider asks of a limit: to pause, or to count on less. It only tightens, and ends by itself.

use tollgate::policy::retry_after::whole_ms;
use tollgate::policy::{DefinitionFields, LimitState, Mode, Refusal, Restraint};

use super::harness::{Harness, denied};
use crate::support::{LONG, bucket, concurrency, one_of_each_kind, request, rolling};

const KINDS: [&str; 3] = ["rolling", "concurrency", "token_bucket"];

/// The failing keys of a refusal, with the milliseconds to wait for each.
fn waits(refusal: &Refusal) -> Vec<(&str, u64)> {
    refusal.denied.iter().map(|denied| (denied.key.as_str(), whole_ms(denied.retry_after))).collect()
}

pub(crate) async fn a_paused_limit_admits_nothing_until_exactly_the_end(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    let window_ms = ledger.differs.window_ms(1_000);
    let (now, until) = (ledger.now(), ledger.moment_in(window_ms));
    for kind in KINDS {
        ledger.restrain(kind, Restraint::Pause { until }).await;
        let usage = ledger.usage(kind).await;
        assert_eq!((usage.available, usage.paused_until), (10, Some(until)), "{kind}");
        let refusal = ledger.refuse(&[(kind, 1)]).await;
        assert_eq!(refusal.reason.code(), format!("limit_paused:{kind}"));
        ledger.assert_waits_until(until, refusal.retry_after_ms());
    }
    ledger.just_before_by(5, now, window_ms).await;
    for kind in KINDS {
        ledger.assert_waits_until(until, ledger.refuse(&[(kind, 10)]).await.retry_after_ms());
    }
    ledger.reach(until).await;
    for kind in KINDS {
        assert_eq!(ledger.usage(kind).await.paused_until, None, "{kind}");
        ledger.grant(&[(kind, 10)]).await;
    }
}

pub(crate) async fn a_later_end_prolongs_a_pause_and_an_earlier_one_changes_nothing(ledger: Harness) {
    ledger.put(rolling("r", 10, 60)).await;
    let (start, mut last) = (ledger.now(), ledger.now());
    for asked in [1_000, 600, 1_800, 0] {
        last = last.max(ledger.pause("r", asked).await);
        assert_eq!(ledger.usage("r").await.paused_until, Some(last));
        ledger.assert_waits_until(last, ledger.refuse(&[("r", 1)]).await.retry_after_ms());
    }
    ledger.just_before(start, 1_800).await;
    assert_eq!(ledger.code(&[("r", 1)]).await, "limit_paused:r");
    ledger.reach(last).await;
    ledger.grant(&[("r", 1)]).await;
}

pub(crate) async fn a_pause_ranks_after_a_decrease_and_before_a_denial(ledger: Harness) {
    for (key, held, paused_ms) in [("full", 10, 0), ("paused", 0, LONG), ("small", 0, LONG), ("busy", 10, LONG)] {
        ledger.put(concurrency(key, 10, 1_000)).await;
        if held != 0 {
            ledger.grant(&[(key, held)]).await;
        }
        ledger.pause(key, paused_ms).await;
    }
    assert!(matches!(ledger.put(concurrency("busy", 5, 1_000)).await, LimitState::Decreasing { .. }));
    let ranked = [("unknown", 1), ("small", 11), ("busy", 1), ("paused", 1), ("full", 1)];
    let codes = ["unknown_limit_key:unknown", "never_fits:small", "limit_decreasing:busy", "limit_paused:paused", ""];
    for first in 0..ranked.len() {
        let mut requirements = ranked[first..].to_vec();
        for _ in 0..requirements.len() {
            requirements.rotate_left(1);
            assert_eq!(ledger.code(&requirements).await, codes[first], "{requirements:?}");
        }
    }
}

pub(crate) async fn the_first_paused_key_is_named_and_the_longest_wait_counts(ledger: Harness) {
    ledger.put_all([rolling("p1", 10, 60), bucket("p2", 10, 1, 1), rolling("full", 10, 60), rolling("ok", 9, 9)]).await;
    ledger.grant(&[("full", 10)]).await;
    let (now, first) = (ledger.now(), ledger.pause("p1", 1_500).await);
    let last = ledger.pause("p2", 2_000).await;
    let refusal = ledger.refuse(&[("p2", 1), ("ok", 1), ("p1", 1)]).await;
    assert_eq!(refusal.reason.code(), "limit_paused:p2");
    for ((key, wait), (wanted, until)) in waits(&refusal).into_iter().zip([("p2", last), ("p1", first)]) {
        assert_eq!(key, wanted);
        ledger.assert_waits_until(until, wait);
    }
    ledger.assert_waits_until(last, refusal.retry_after_ms());
    let refusal = ledger.refuse(&[("full", 1), ("p1", 1), ("p2", 1)]).await;
    assert_eq!(refusal.reason.code(), "limit_paused:p1");
    let listed: Vec<_> = refusal.denied.iter().map(|d| (d.key.as_str(), d.capacity, d.available)).collect();
    assert_eq!(listed, [("full", 10, 0), ("p1", 10, 10), ("p2", 10, 10)]);
    if ledger.differs.knows_waits {
        assert_eq!(refusal.retry_after_ms(), 60_000, "the longest wait of all that fail");
    }
    ledger.just_before(now, 2_000).await;
    assert_eq!(ledger.code(&[("p1", 1), ("p2", 1)]).await, "limit_paused:p2");
    ledger.reach(last).await;
    ledger.grant(&[("p1", 1), ("p2", 1)]).await;
}

pub(crate) async fn a_full_key_that_is_paused_is_retried_when_it_fits(ledger: Harness) {
    ledger.put(rolling("r", 10, 60)).await;
    ledger.grant(&[("r", 8)]).await;
    let until = ledger.pause("r", 5_000).await;
    ledger.assert_waits_until(until, ledger.refuse(&[("r", 2)]).await.retry_after_ms());
    let refusal = ledger.refuse(&[("r", 3)]).await;
    assert_eq!(refusal.reason.code(), "limit_paused:r");
    if ledger.differs.knows_waits {
        assert_eq!(refusal.retry_after_ms(), 60_000, "a retry at the end of the pause would be denied");
        assert_eq!(refusal.denied[0].wait_at_least.as_millis(), 5_000, "what completes can make room until then");
    }
}

pub(crate) async fn a_refusal_by_a_pause_charges_nothing_and_is_counted(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 60)]).await;
    let until = ledger.pause("r", ledger.differs.window_ms(1_000)).await;
    let attempt = request(&[("c", 4), ("r", 4)]);
    assert!(ledger.send(&attempt).await.is_err());
    assert_eq!((ledger.available("r").await, ledger.available("c").await), (10, 10));
    let denied = (ledger.usage("r").await.counters.denied, ledger.usage("c").await.counters.denied);
    assert_eq!((denied, ledger.totals().denied), ((1, 0), 1));
    ledger.reach(until).await;
    assert!(ledger.send(&attempt).await.is_ok(), "the attempt is not remembered");
}

pub(crate) async fn leases_go_on_while_their_limits_are_paused(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 60), concurrency("c", 10, 60)]).await;
    let held = request(&[("r", 6), ("c", 1)]);
    let lease = ledger.send(&held).await.expect("it fits");
    ledger.pause("r", 50_000).await;
    ledger.pause("c", 50_000).await;
    assert_eq!(ledger.send(&held).await, Ok(lease), "the lease's own answer comes first");
    assert_eq!(ledger.renew(lease, None).await, Ok(()));
    ledger.end(lease, &[("r", 2)]).await;
    assert_eq!((ledger.available("r").await, ledger.available("c").await), (8, 10));
    assert_eq!(ledger.code(&[("c", 1)]).await, "limit_paused:c", "what frees ends no pause");
}

pub(crate) async fn a_peek_finds_the_pause_too(ledger: Harness) {
    ledger.put(rolling("r", 10, 60)).await;
    let until = ledger.pause("r", ledger.differs.window_ms(1_000)).await;
    for amount in [0, 1] {
        let peeked = ledger.peek(&[("r", amount)]).await.expect_err("paused");
        assert_eq!(peeked.reason.code(), "limit_paused:r");
        ledger.assert_waits_until(until, peeked.retry_after_ms());
    }
    ledger.reach(until).await;
    assert_eq!(ledger.peek(&[("r", 10)]).await, Ok(()));
}

pub(crate) async fn a_paused_shadow_limit_counts_and_never_denies(ledger: Harness) {
    let shadow = |fields| DefinitionFields { mode: Mode::Shadow, ..fields };
    ledger.put_all(one_of_each_kind(10, LONG).map(shadow)).await;
    let until = ledger.moment_in(ledger.differs.window_ms(1_500));
    for kind in KINDS {
        ledger.restrain(kind, Restraint::Pause { until }).await;
        ledger.grant(&[(kind, 4)]).await;
        assert_eq!(ledger.peek(&[(kind, 1)]).await, Ok(()));
        let usage = ledger.usage(kind).await;
        assert_eq!((usage.counters.would_deny, usage.counters.denied), (1, 0), "{kind}");
        let charged = if ledger.differs.charges_shadow_beyond_capacity { 4 } else { 0 };
        assert_eq!(usage.available, 10 - charged, "{kind}");
    }
    ledger.reach(until).await;
    for kind in KINDS {
        ledger.grant(&[(kind, 1)]).await;
        assert_eq!(ledger.usage(kind).await.counters.would_deny, 1, "{kind}");
    }
}

pub(crate) async fn a_report_of_less_withholds_the_difference_until_its_end(ledger: Harness) {
    ledger.put_all(one_of_each_kind(10, LONG)).await;
    let window_ms = ledger.differs.window_ms(1_500);
    let (now, until) = (ledger.now(), ledger.moment_in(window_ms));
    // What runs at once only the callers know: a concurrency limit is left as it is.
    let left = [("rolling", 3), ("concurrency", 10), ("token_bucket", 3)];
    for (kind, available) in left {
        ledger.restrain(kind, Restraint::Tighten { remaining: 3, until }).await;
        let usage = ledger.usage(kind).await;
        assert_eq!((usage.available, usage.withheld, usage.capacity), (available, 10 - available, 10), "{kind}");
        assert_eq!(ledger.reserve(&[(kind, 4)]).await.is_err(), available == 3, "{kind}");
    }
    ledger.just_before_by(5, now, window_ms).await;
    for (kind, available) in left {
        assert_eq!(ledger.usage(kind).await.withheld, 10 - available, "{kind}");
    }
    ledger.reach(until).await;
    for (kind, available) in left {
        assert_eq!(ledger.usage(kind).await.withheld, 0, "{kind}");
        ledger.grant(&[(kind, if available == 3 { 10 } else { 6 })]).await;
    }
}

pub(crate) async fn a_report_that_does_not_tighten_changes_nothing(ledger: Harness) {
    ledger.put(rolling("r", 10, 60)).await;
    let window_ms = ledger.differs.window_ms(1_500);
    let until = ledger.tighten("r", 4, window_ms).await;
    let (now, soon, late) = (ledger.now(), ledger.moment_in(window_ms / 2), ledger.moment_in(9_000));
    for (remaining, until) in [(4, soon), (9, until), (10, late), (u64::MAX, late), (0, now)] {
        ledger.restrain("r", Restraint::Tighten { remaining, until }).await;
        assert_eq!(ledger.available("r").await, 4, "{remaining} until {until:?}");
    }
    ledger.reach(until).await;
    assert_eq!(ledger.available("r").await, 10, "its end is not prolonged");
}

pub(crate) async fn each_report_counts_until_its_own_end(ledger: Harness) {
    ledger.put(rolling("r", 10, 60)).await;
    let last = ledger.tighten("r", 6, 1_800).await;
    let (now, dip) = (ledger.now(), ledger.tighten("r", 1, 900).await);
    ledger.just_before(now, 900).await;
    assert_eq!(ledger.available("r").await, 1);
    ledger.reach(dip).await;
    assert_eq!(ledger.available("r").await, 6, "a dip of a second does not last until the other's end");
    ledger.reach(last).await;
    assert_eq!(ledger.available("r").await, 10);
}

pub(crate) async fn a_retry_is_exact_with_what_is_withheld(ledger: Harness) {
    if !ledger.differs.knows_waits {
        return;
    }
    // In seconds, when the withholding ends and when so much fits: once what has freed covers both, or at that end.
    for (kind, ends, asked, fits) in [
        ("rolling", 40, 4, 30),
        ("rolling", 40, 7, 30),
        ("rolling", 40, 8, 40),
        ("rolling", 20, 7, 30),
        ("rolling", 20, 6, 20),
        ("token_bucket", 12, 4, 2),
        ("token_bucket", 12, 7, 8),
        ("token_bucket", 12, 8, 12),
        ("token_bucket", 5, 7, 5),
        ("token_bucket", 1, 8, 4),
    ] {
        ledger.put_all([rolling("rolling", 10, 30), bucket("token_bucket", 10, 1, 2)]).await;
        ledger.grant(&[(kind, 4)]).await;
        ledger.tighten(kind, 3, ends * 1_000).await; // Of the 6 that are left 3 are withheld.
        let case = format!("{asked} of {kind}, withheld for {ends} s");
        assert_eq!(denied(&ledger.refuse(&[(kind, asked)]).await), [(kind, fits * 1_000)], "{case}");
        ledger.pass(fits * 1_000 - 1).await;
        assert_eq!(denied(&ledger.refuse(&[(kind, asked)]).await), [(kind, 1)], "{case}");
        ledger.pass(1).await;
        ledger.grant(&[(kind, asked)]).await;
        ledger.remove(kind).await;
    }
}

pub(crate) async fn what_frees_is_not_withheld(ledger: Harness) {
    ledger.put_all([rolling("rolling", 10, 60), bucket("token_bucket", 10, 1, LONG)]).await;
    let until = ledger.moment_in(ledger.differs.window_ms(2_000));
    for kind in ["rolling", "token_bucket"] {
        let lease = ledger.grant(&[(kind, 6)]).await;
        ledger.restrain(kind, Restraint::Tighten { remaining: 0, until }).await;
        assert_eq!((ledger.available(kind).await, ledger.usage(kind).await.withheld), (0, 4), "{kind}");
        ledger.end(lease, &[(kind, 1)]).await;
        assert_eq!(ledger.available(kind).await, 5, "{kind}");
        let more = ledger.grant(&[(kind, 2)]).await;
        ledger.end(more, &[(kind, 6)]).await; // 4 more than reserved: 3 of what is free, and 1 that is withheld.
        assert_eq!((ledger.available(kind).await, ledger.usage(kind).await.debt), (0, 0), "{kind}");
    }
    ledger.reach(until).await;
    for kind in ["rolling", "token_bucket"] {
        assert_eq!(ledger.available(kind).await, 3, "{kind}");
    }
}

pub(crate) async fn a_key_without_a_limit_has_nothing_to_restrain(ledger: Harness) {
    ledger.pause("r", 5_000).await;
    ledger.tighten("r", 0, 5_000).await;
    assert_eq!(ledger.totals().limits, 0);
    ledger.put(rolling("r", 10, 60)).await;
    ledger.grant(&[("r", 10)]).await;
}

pub(crate) async fn an_instance_is_made_for_a_restraint_and_kept_until_its_end(ledger: Harness) {
    ledger.put(rolling("t:{x}", 10, 60)).await;
    ledger.pause("t:late", 0).await;
    assert_eq!(ledger.totals().limits, 0, "what has passed asks for nothing");
    let (now, window_ms) = (ledger.now(), ledger.differs.window_ms(2_000));
    ledger.pause("t:paused", window_ms).await;
    let until = ledger.tighten("t:tight", 2, window_ms).await;
    ledger.just_before_by(3, now, window_ms - ledger.differs.housekeeping_ms_max).await;
    ledger.assert_in_use(2).await;
    assert_eq!(ledger.code(&[("t:paused", 1)]).await, "limit_paused:t:paused");
    assert_eq!(ledger.code(&[("t:tight", 3)]).await, "");
    ledger.reach(until).await;
    ledger.assert_in_use(0).await;
}

pub(crate) async fn a_restraint_outlives_every_change_of_the_definition(ledger: Harness) {
    ledger.put(rolling("t:{x}", 10, 60)).await;
    let until = ledger.pause("t:a", ledger.differs.window_ms(2_000)).await;
    ledger.restrain("t:a", Restraint::Tighten { remaining: 4, until }).await;
    for (pattern, capacity, available) in [("t:{x}", 20, 14), ("t:{x}", 8, 2), ("t:a", 30, 24), ("t:a", 5, 0)] {
        assert_eq!(ledger.put(rolling(pattern, capacity, 60)).await, LimitState::Active);
        let usage = ledger.usage("t:a").await;
        assert_eq!((usage.available, usage.withheld), (available, 6), "{pattern} of {capacity}");
        assert_eq!(usage.paused_until, Some(until));
    }
    ledger.reach(until).await;
    ledger.grant(&[("t:a", 5)]).await;
}

pub(crate) async fn a_definition_says_whether_one_of_its_limits_is_paused(ledger: Harness) {
    ledger.put_all([rolling("r", 10, 60), rolling("t:{x}", 10, 60)]).await;
    let paused = || {
        let mut paused: Vec<_> = ledger.totals().definitions;
        paused.retain(|definition| definition.is_paused);
        paused.iter().map(|definition| definition.pattern.to_string()).collect::<Vec<_>>()
    };
    ledger.restrain("r", Restraint::Tighten { remaining: 0, until: ledger.moment_in(9_000) }).await;
    assert_eq!(paused(), Vec::<String>::new());
    let [shorter, short, long] = [600, 1_000, 2_000].map(|ms| ledger.differs.window_ms(ms));
    let first = ledger.pause("r", short).await;
    let last = ledger.pause("t:a", long).await;
    ledger.pause("t:b", shorter).await;
    assert_eq!(paused(), ["r", "t:{x}"]);
    ledger.reach(first).await;
    assert_eq!(paused(), ["t:{x}"]);
    ledger.put(rolling("t:a", 10, 60)).await;
    assert_eq!(paused(), ["t:{x}", "t:a"], "the pause goes on under the new definition");
    ledger.reach(last).await;
    assert_eq!(paused(), Vec::<String>::new());
}
