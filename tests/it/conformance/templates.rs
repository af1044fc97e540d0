//! Templates: one limit per value, made on first use and dropped when idle. Views page through what exists.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use tollgate::backends::DefinitionTotals;
use tollgate::policy::{DefinitionFields, LimitState, Overage};

use super::harness::Harness;
use crate::support::{LONG, bucket, concurrency, key, request, rolling};

pub(crate) async fn each_value_has_a_limit_of_its_own(ledger: Harness) {
    ledger.put(concurrency("tenant:{tenant}:jobs", 10, 60)).await;
    let lease = ledger.grant(&[("tenant:acme:jobs", 10)]).await;
    ledger.grant(&[("tenant:globex:jobs", 4)]).await;
    assert_eq!(ledger.code(&[("tenant:acme:jobs", 1)]).await, "");
    assert_eq!(ledger.available("tenant:globex:jobs").await, 6);
    ledger.end(lease, &[]).await;
    assert_eq!(ledger.available("tenant:acme:jobs").await, 10);
    let usage = ledger.usage("tenant:acme:jobs").await;
    assert_eq!(usage.template.expect("an instance").as_str(), "tenant:{tenant}:jobs");
}

pub(crate) async fn a_template_covers_whole_segments_only(ledger: Harness) {
    ledger.put(concurrency("tenant:{tenant}:jobs", 10, 60)).await;
    for stray in
        ["tenant:a:b:jobs", "tenant::jobs", "tenant:jobs", "tenant:a:jobs:x", "x:tenant:a:jobs", "tenant:a:job"]
    {
        assert_eq!(ledger.code(&[(stray, 1)]).await, format!("unknown_limit_key:{stray}"));
        assert_eq!(ledger.backend.usage(&key(stray)).get().await, Ok(None));
    }
}

pub(crate) async fn an_exact_definition_beats_a_template_and_more_literals_beat_fewer(ledger: Harness) {
    for fields in [
        concurrency("{a}:{b}:{c}", 1, 60),
        concurrency("tenant:acme:jobs", 4, 60),
        concurrency("{a}:{b}:jobs", 2, 60),
        concurrency("tenant:{b}:jobs", 3, 60),
    ] {
        ledger.put(fields).await;
    }
    let wanted = [("x:y:z", 1), ("x:y:jobs", 2), ("tenant:y:jobs", 3), ("tenant:acme:jobs", 4)];
    for (text, capacity) in wanted {
        ledger.grant(&[(text, capacity)]).await;
        assert_eq!((ledger.usage(text).await.capacity, ledger.available(text).await), (capacity, 0), "{text}");
    }
}

pub(crate) async fn looking_makes_no_instance(ledger: Harness) {
    ledger.put(concurrency("t:{x}", 10, 60)).await;
    assert_eq!(ledger.available("t:a").await, 10);
    assert_eq!(ledger.totals().limits, 0);
}

pub(crate) async fn a_change_of_the_template_reaches_live_instances(ledger: Harness) {
    ledger.put(concurrency("t:{x}", 10, 60)).await;
    let lease = ledger.grant(&[("t:a", 8)]).await;
    ledger.put(concurrency("t:{x}", 12, 60)).await;
    assert_eq!(ledger.available("t:a").await, 4);
    ledger.put(concurrency("t:{x}", 5, 60)).await;
    assert_eq!(ledger.code(&[("t:a", 1)]).await, "limit_decreasing:t:a");
    let to = NonZeroU64::new(5).expect("positive");
    assert_eq!(ledger.usage("t:a").await.state, LimitState::Decreasing { to });
    ledger.grant(&[("t:b", 5)]).await;
    ledger.end(lease, &[]).await;
    assert_eq!((ledger.available("t:a").await, ledger.usage("t:a").await.state), (5, LimitState::Active));
}

pub(crate) async fn an_instance_follows_the_definition_that_is_best_now(ledger: Harness) {
    ledger.put(concurrency("t:{x}", 10, 60)).await;
    let lease = ledger.grant(&[("t:a", 6)]).await;
    ledger.put(concurrency("t:a", 20, 60)).await;
    assert_eq!(ledger.available("t:a").await, 14, "what is taken stays taken");
    assert_eq!(ledger.usage("t:a").await.template, None);
    ledger.remove("t:a").await;
    ledger.end(lease, &[]).await;
    assert_eq!(ledger.available("t:a").await, 10);
    ledger.remove("t:{x}").await;
    assert_eq!(ledger.code(&[("t:a", 1)]).await, "unknown_limit_key:t:a");
}

pub(crate) async fn a_definition_of_another_kind_starts_anew(ledger: Harness) {
    ledger.put(concurrency("t:{x}", 10, 60)).await;
    let lease = ledger.grant(&[("t:a", 6)]).await;
    ledger.put(rolling("t:a", 7, 60)).await;
    assert_eq!(ledger.available("t:a").await, 7);
    ledger.end(lease, &[("t:a", 1)]).await;
    assert_eq!(ledger.available("t:a").await, 7);
    ledger.grant(&[("t:a", 7)]).await;
}

pub(crate) async fn a_deleted_template_takes_its_instances_along(ledger: Harness) {
    ledger.put(concurrency("t:{x}", 10, 60)).await;
    let leases = [ledger.grant(&[("t:a", 6)]).await, ledger.grant(&[("t:b", 6)]).await];
    ledger.remove("t:{x}").await;
    assert_eq!(ledger.code(&[("t:a", 1)]).await, "unknown_limit_key:t:a");
    assert_eq!(ledger.backend.usage(&key("t:a")).get().await, Ok(None));
    for (lease, text) in leases.into_iter().zip(["t:a", "t:b"]) {
        assert!(ledger.is_live(lease).await);
        ledger.end(lease, &[(text, 1)]).await;
    }
    assert_eq!((ledger.totals().limits, ledger.totals().live_leases), (0, 0));
}

pub(crate) async fn idle_instances_are_dropped(ledger: Harness) {
    ledger.put_all([concurrency("c:{x}", 10, 60), rolling("r:{x}", 10, 3), bucket("b:{x}", 10, 2, 1)]).await;
    let texts = ["c:1", "r:1", "b:1"];
    let lease = ledger.grant(&texts.map(|text| (text, 5))).await;
    let granted = ledger.now();
    ledger.assert_in_use(3).await;
    ledger.end(lease, &[]).await;
    ledger.assert_in_use(2).await; // What is charged is remembered until it is free again.
    assert_eq!((ledger.available("c:1").await, ledger.available("r:1").await), (10, 5));
    ledger.at(granted, 2_500 + ledger.differs.step_ms(10, 5_000)).await;
    ledger.at(granted, 3_000).await;
    ledger.assert_in_use(0).await;
    for text in texts {
        ledger.wait_for(text, 10).await;
        assert_eq!(ledger.available(text).await, 10, "{text}");
    }
}

pub(crate) async fn an_instance_in_debt_or_watched_is_kept(ledger: Harness) {
    ledger.put(rolling("r:{x}", 10, 1)).await;
    let lease = ledger.grant(&[("r:1", 5)]).await;
    ledger.end(lease, &[("r:1", 12)]).await;
    ledger.grant(&[("r:2", 5)]).await;
    let granted = ledger.now();
    ledger.backend.watch(&key("r:2"), true);
    ledger.at(granted, 1_000).await;
    ledger.assert_in_use(2).await;
    assert_eq!(ledger.usage("r:1").await.debt, 2);
    ledger.backend.watch(&key("r:2"), false);
    ledger.assert_in_use(1).await;
}

pub(crate) async fn limits_of_their_own_are_never_dropped(ledger: Harness) {
    ledger.put_all([concurrency("a", 1, 60), rolling("b", 1, 60), bucket("c", 1, 1, LONG)]).await;
    ledger.pass(1_000).await;
    ledger.assert_in_use(3).await;
}

pub(crate) async fn a_definition_counts_for_all_its_instances_also_those_that_are_gone(ledger: Harness) {
    ledger.put(DefinitionFields { overage: Overage::Deny, ..rolling("r:{x}", 10, 1) }).await;
    for text in ["r:1", "r:2"] {
        let lease = ledger.grant(&[(text, 10)]).await;
        assert!(ledger.send(&request(&[(text, 1)])).await.is_err());
        ledger.end(lease, &[(text, 13)]).await;
    }
    ledger.at(ledger.now(), 1_000).await;
    ledger.assert_in_use(0).await;
    let totals = ledger.totals();
    let DefinitionTotals { pattern, counters, .. } = &totals.definitions[0];
    assert_eq!(pattern.as_str(), "r:{x}");
    assert_eq!((counters.denied, counters.overage), (2, 6));
}

pub(crate) async fn usages_come_in_pages_that_hold_every_limit_once(ledger: Harness) {
    ledger.put(concurrency("t:{x}", 10, 60)).await;
    let mut wanted = BTreeSet::new();
    for n in 0..25 {
        let text = format!("t:{n}");
        ledger.grant(&[(&text, 1)]).await;
        wanted.insert(text);
    }
    for count in [1, 7, 25, 1_000] {
        let (mut seen, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            let page = ledger.backend.usages(from, count).get().await.expect("the ledger answers");
            assert!(page.limits.len() <= count);
            seen.extend(page.limits.iter().map(|usage| usage.key.to_string()));
            cursor = page.next_cursor;
        }
        assert_eq!(seen.len(), 25, "pages of {count}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), wanted, "pages of {count}");
    }
    let beyond = ledger.backend.usages(u64::MAX, 10).get().await.expect("the ledger answers");
    assert_eq!((beyond.limits.len(), beyond.next_cursor), (0, None));
}
