//! The log of a limit, read and written.

use super::*;
use crate::policy::{Definition, DefinitionFields};

const KEY: u128 = 77;

fn definition(kind: &str, capacity: u64, period: u64) -> Definition {
    let (window_seconds, timeout_seconds, refill_seconds) = match kind {
        "rolling" => (Some(period), None, None),
        "concurrency" => (None, Some(period), None),
        _ => (None, None, Some(period)),
    };
    let refill_amount = refill_seconds.map(|_| 3);
    let (key, kind) = ("k".to_owned(), kind.to_owned());
    let fields = DefinitionFields {
        key,
        kind,
        capacity,
        window_seconds,
        timeout_seconds,
        refill_amount,
        refill_seconds,
        ..DefinitionFields::default()
    };
    fields.check().expect("a good definition")
}

fn wanted(definition: &Definition, version: u64) -> Wanted {
    Wanted { kind: definition.kind, capacity: definition.capacity, version }
}

fn step(found: &Found, definition: &Definition, version: u64) -> Step {
    next_step(found, &wanted(definition, version))
}

/// A log as it would be written by those who define these, one after the other.
fn log(entries: &[(Code, &Definition, u64)]) -> Vec<Transfer> {
    let chart = Chart::new(1);
    let written = entries.iter().zip(1..).flat_map(|((code, definition, version), seq)| match code {
        Code::Retired => vec![chart.retirement(KEY, seq, *version)],
        code => chart.entry(KEY, seq, *code, &wanted(definition, *version)).to_vec(),
    });
    let mut written: Vec<_> = written.collect();
    written.reverse();
    written
}

fn capacity(capacity: u64) -> NonZeroU64 {
    NonZeroU64::new(capacity).expect("positive")
}

#[test]
fn the_last_entries_say_what_is_in_force_and_what_is_wanted() {
    let (ten, five, bucket) =
        (definition("rolling", 10, 60), definition("rolling", 5, 60), definition("token_bucket", 8, 9));
    assert_eq!(read(&[]), Found::Nothing { seq: 0 });
    let begun = Standing {
        seq: 1,
        generation: 1,
        version: 4,
        kind: ten.kind,
        wanted: capacity(10),
        capacity: capacity(10),
        rule_seq: 1,
        rule_since_ns: 0,
    };
    assert_eq!(read(&log(&[(Code::Begin, &ten, 4)])), Found::Limit(begun));
    let lowering = Standing { seq: 2, version: 6, wanted: capacity(5), rule_seq: 2, ..begun };
    let entries = [(Code::Begin, &ten, 4), (Code::Lowering, &five, 6), (Code::Change, &five, 6)];
    assert_eq!(read(&log(&entries[..2])), Found::Limit(lowering));
    assert!(lowering.is_decreasing());
    let lowered = Standing { seq: 3, capacity: capacity(5), ..lowering };
    assert_eq!(read(&log(&entries)), Found::Limit(lowered));
    assert!(!lowered.is_decreasing());
    let retired = [entries[0], (Code::Retired, &ten, 7)];
    assert_eq!(read(&log(&retired)), Found::Nothing { seq: 2 });
    let anew = [retired[0], retired[1], (Code::Begin, &bucket, 2)];
    let Found::Limit(standing) = read(&log(&anew)) else { panic!("it begins anew") };
    assert_eq!((standing.seq, standing.generation, standing.kind), (3, 3, bucket.kind));
}

#[test]
fn a_rule_counts_from_the_entry_that_last_changed_it() {
    let (slow, fast) = (definition("token_bucket", 8, 9), definition("token_bucket", 8, 3));
    let larger = definition("token_bucket", 9, 3);
    let entries = [(Code::Begin, &slow, 1), (Code::Change, &fast, 2), (Code::Change, &larger, 3)];
    for (count, rule_seq) in [(1, 1), (2, 2), (3, 3)] {
        let Found::Limit(standing) = read(&log(&entries[..count])) else { panic!("a limit") };
        assert_eq!((standing.rule_seq, standing.generation), (rule_seq, 1));
    }
    let back = [entries[0], entries[1], (Code::Change, &slow, 3)];
    let Found::Limit(standing) = read(&log(&back)) else { panic!("a limit") };
    assert_eq!(standing.rule_seq, 3, "the ticks of a rule that was in force before are not sent a second time");
}

#[test]
fn a_log_that_was_not_read_to_its_beginning_says_so() {
    let ten = definition("rolling", 10, 60);
    let whole = log(&[(Code::Begin, &ten, 1), (Code::Change, &ten, 2)]);
    assert_eq!(read(&whole[..2]), Found::Incomplete);
    assert_eq!(read(&whole[..3]), Found::Incomplete, "half an entry is none");
}

#[test]
fn the_newer_version_wins_and_the_first_of_two_with_one_version_stays() {
    let (ten, five) = (definition("rolling", 10, 60), definition("rolling", 5, 60));
    let found = read(&log(&[(Code::Begin, &ten, 4)]));
    assert_eq!(step(&Found::Nothing { seq: 3 }, &ten, 1), Step::Begin { seq: 4 });
    assert_eq!(step(&found, &ten, 4), Step::Keep);
    assert_eq!(step(&found, &five, 4), Step::Superseded { version: 4 });
    for version in [0, 3] {
        assert_eq!(step(&found, &ten, version), Step::Superseded { version: 4 });
    }
    assert_eq!(step(&found, &ten, 9), Step::Change { seq: 2, raise: 0 }, "so that an 8 comes too late");
    assert_eq!(step(&found, &five, 5), Step::Lower { seq: 2, by: 5 });
    assert_eq!(step(&found, &definition("rolling", 12, 60), 5), Step::Change { seq: 2, raise: 2 });
    assert_eq!(step(&found, &definition("rolling", 10, 30), 5), Step::Change { seq: 2, raise: 0 });
    assert_eq!(step(&found, &definition("concurrency", 10, 60), 5), Step::Begin { seq: 2 });
}

#[test]
fn a_decrease_that_waits_can_be_replaced_and_ended() {
    let (ten, five) = (definition("rolling", 10, 60), definition("rolling", 5, 60));
    let found = read(&log(&[(Code::Begin, &ten, 4), (Code::Lowering, &five, 5)]));
    assert_eq!(step(&found, &five, 5), Step::Keep);
    assert_eq!(step(&found, &definition("rolling", 2, 60), 6), Step::Lower { seq: 3, by: 8 });
    assert_eq!(step(&found, &ten, 6), Step::Change { seq: 3, raise: 0 });
    assert_eq!(step(&found, &definition("rolling", 12, 60), 6), Step::Change { seq: 3, raise: 2 });
}
