//! Histories made by hand, and by a limit that is known to be right.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::policy::{DefinitionFields, HoldId, Limit, UnavailableMode, Verdict};

const SECOND: u64 = 1_000_000_000;

fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

/// Sent and granted at these milliseconds.
fn charge(sent_ms: u64, answered_ms: u64, amount: u64) -> Charge {
    Charge { sent: at(sent_ms), answered: at(answered_ms), amount, returned: None }
}

fn returned(charge: Charge, sent_ms: u64, amount: u64) -> Charge {
    Charge { returned: Some((at(sent_ms), amount)), ..charge }
}

/// Ten in any second, or at once for at most a second.
const TEN: Rule = Rule { capacity: 10, span: Duration::from_secs(1), frees_all: false };

fn count(charges: &[Charge]) -> u64 {
    over_admissions(TEN, charges).over_admissions
}

fn fields(kind: &str) -> DefinitionFields {
    let (window, timeout, refill) = match kind {
        "rolling" => (Some(2), None, None),
        "concurrency" => (None, Some(2), None),
        _ => (None, None, Some(2)),
    };
    DefinitionFields {
        key: "a".to_owned(),
        kind: kind.to_owned(),
        capacity: 10,
        window_seconds: window,
        timeout_seconds: timeout,
        refill_amount: refill,
        refill_seconds: refill,
        ..DefinitionFields::default()
    }
}

fn definition(fields: DefinitionFields) -> Definition {
    fields.check().expect("a good definition")
}

#[test]
fn a_window_that_is_full_lets_nobody_in() {
    assert_eq!(count(&[charge(0, 1, 10)]), 0);
    assert_eq!(count(&[charge(0, 1, 11)]), 1);
    let finding = over_admissions(TEN, &[charge(0, 1, 6), charge(2, 3, 4), charge(900, 901, 1), charge(902, 990, 2)]);
    assert_eq!(finding.over_admissions, 2);
    assert_eq!(finding.worst, Some(Worst { at: at(990), taken: 12 }), "one that was too much is not counted on");
}

#[test]
fn what_may_have_expired_is_not_held_against_anybody() {
    assert_eq!(count(&[charge(0, 1, 10), charge(999, 1_000, 10)]), 0, "charged at 0 and at 1000 it is right");
    assert_eq!(count(&[charge(0, 1, 10), charge(998, 999, 10)]), 1, "at 0 and at 999 at the best it is not");
    assert_eq!(count(&[charge(0, 500, 10), charge(1_400, 1_450, 10)]), 0, "the first may have been charged at 0");
    assert_eq!(count(&[charge(0, 5_000, 20)]), 0, "nothing is certain of what was on its way for so long");
}

#[test]
fn a_grant_that_is_still_on_its_way_may_come_later() {
    assert_eq!(count(&[charge(0, 2_000, 10), charge(500, 510, 10)]), 0);
    assert_eq!(count(&[charge(0, 600, 10), charge(500, 510, 10)]), 1, "both within one window, in whatever order");
}

#[test]
fn what_may_have_been_given_back_is_free() {
    let first = charge(0, 1, 10);
    assert_eq!(count(&[returned(first, 2, 4), charge(3, 4, 4)]), 0);
    assert_eq!(count(&[returned(first, 2, 4), charge(3, 4, 5)]), 1);
    assert_eq!(count(&[returned(first, 3, 4), charge(2, 4, 4)]), 0, "it may have been given back first");
    assert_eq!(count(&[returned(first, 4, 4), charge(2, 4, 4)]), 0, "at the same moment too");
    assert_eq!(count(&[returned(first, 5, 10), charge(2, 4, 1)]), 1, "it was given back after the grant was there");
    assert_eq!(count(&[returned(charge(0, 1, 20), 1, 10)]), 0, "at the moment at which it came");
}

#[test]
fn more_than_was_held_is_not_given_back() {
    let charges = [returned(charge(0, 1, 5), 2, 50), charge(3, 4, 10), charge(5, 6, 1)];
    assert_eq!(count(&charges), 1);
}

#[test]
fn a_definition_says_what_can_be_checked() {
    let span = Duration::from_millis(1_998);
    let rolling = Rule::of(&definition(fields("rolling")));
    assert_eq!(rolling, Ok(Rule { capacity: 10, span, frees_all: false }), "clocks may differ a little");
    assert_eq!(Rule::of(&definition(fields("concurrency"))), Ok(Rule { capacity: 10, span, frees_all: true }));
    let why = |fields| Rule::of(&definition(fields)).expect_err("it cannot be checked");
    assert_eq!(why(fields("token_bucket")), "it is a token bucket");
    let shadow = DefinitionFields { mode: Mode::Shadow, ..fields("rolling") };
    assert_eq!(why(shadow), "it is in shadow mode, and stops nothing");
    let lenient = DefinitionFields { when_unavailable: UnavailableMode::Allow, ..fields("rolling") };
    assert_eq!(why(lenient), "it may let calls pass while its ledger is away");
}

/// A reservation as it was decided: gap to the one before, time on the way there and back, amount, used, and how long
/// after the grant the completion was sent and how long that was on its way.
type Asked = (u64, (u64, u64), (u64, u64), (u64, u64));

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let way = 0..SECOND / 2;
    let times = (way.clone(), way.clone());
    vec((0..SECOND / 2, times.clone(), (1_u64..10, 0_u64..10), times), 1..120)
}

/// What one who asks `limit` sees, if each request is decided at a moment of its own.
fn history(definition: &Definition, frees_all: bool, asked: &[Asked]) -> Vec<Charge> {
    let mut limit = Limit::new(definition, Moment::START);
    let mut open: Vec<(u64, HoldId, u64, u128)> = Vec::new();
    let (mut now, mut charges) = (SECOND, Vec::new());
    for (gap, (there, back), (amount, used), (runs, ends)) in asked.iter().copied() {
        now += gap;
        open.sort_unstable_by_key(|(ended, ..)| std::cmp::Reverse(*ended));
        while let Some((ended, hold, amount, used)) = open.pop_if(|(ended, ..)| *ended <= now) {
            limit.complete(hold, amount, Some(used), Moment::from_nanos(ended));
        }
        let moment = Moment::from_nanos(now);
        if limit.verdict(amount.into(), moment) != Verdict::Fits {
            continue;
        }
        let hold = limit.reserve(amount, moment);
        let used = used.min(amount);
        let (sent, answered) = (now.saturating_sub(there), now + back);
        let completed = answered + runs;
        open.push((completed + ends, hold, amount, u128::from(used)));
        let returned = if frees_all { amount } else { amount - used };
        charges.push(Charge {
            sent: Moment::from_nanos(sent),
            answered: Moment::from_nanos(answered),
            amount,
            returned: Some((Moment::from_nanos(completed), returned)),
        });
    }
    charges
}

proptest! {
    /// Whatever a right limit lets in, however long requests and answers travel, nothing is claimed.
    #[test]
    fn a_limit_that_is_right_is_never_accused(asked in asked(), is_rolling: bool) {
        let definition = definition(fields(if is_rolling { "rolling" } else { "concurrency" }));
        let charges = history(&definition, !is_rolling, &asked);
        let exact = Rule { span: Duration::from_secs(2), ..Rule::of(&definition).expect("it can be checked") };
        prop_assert_eq!(over_admissions(exact, &charges), Finding::default());
    }

    /// Where nothing is uncertain, nothing is passed over: it finds something exactly if a window holds too much.
    #[test]
    fn a_limit_that_is_wrong_is_found_out(asked in vec((0..SECOND, 1_u64..10), 1..60)) {
        let mut now = 0;
        let charges: Vec<_> = asked.into_iter().map(|(gap, amount)| {
            now += gap;
            let moment = Moment::from_nanos(now);
            Charge { sent: moment, answered: moment, amount, returned: None }
        }).collect();
        let in_window = |last: &Charge| {
            let counts = |other: &&Charge| other.sent <= last.sent && last.sent < other.sent.after(TEN.span);
            charges.iter().filter(counts).map(|charge| charge.amount).sum::<u64>()
        };
        let is_wrong = charges.iter().any(|charge| TEN.capacity < in_window(charge));
        prop_assert_eq!(0 < over_admissions(TEN, &charges).over_admissions, is_wrong);
    }
}
