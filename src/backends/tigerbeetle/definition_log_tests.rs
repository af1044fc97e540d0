//! The log of a limit, read and written.

use super::*;
use crate::backends::tigerbeetle::lease::Maker;
use crate::policy::{Definition, DefinitionFields, Mode, SECONDS_MAX};

const KEY: u128 = 77;
const NOTHING: Found = Found::Nothing { seq: 0, deleted_version: None };

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
    let Definition { kind, capacity, mode, overage, .. } = *definition;
    Wanted { kind, manner: Manner { mode, overage }, capacity, version, is_exact: true }
}

fn step(found: &Found, definition: &Definition, version: u64) -> Step {
    next_step(found, &wanted(definition, version))
}

/// What is left of a log as it would be written by those who define these, one after the other: its last transfers.
fn log(entries: &[(Option<Entry>, &Definition, u64)]) -> Vec<Transfer> {
    let chart = Chart::new(1, Maker::random());
    let written = entries.iter().zip(1..).flat_map(|((entry, definition, version), seq)| match entry {
        None => vec![chart.retirement(KEY, seq, *version)],
        Some(entry) => chart.entry(KEY, seq, *entry, &NOTHING, &wanted(definition, *version)),
    });
    let mut written: Vec<_> = written.collect();
    written.reverse();
    written.truncate(PARTS_MAX as usize);
    written
}

fn capacity(capacity: u64) -> NonZeroU64 {
    NonZeroU64::new(capacity).expect("positive")
}

#[test]
fn the_last_entry_says_what_is_in_force_and_what_is_wanted() {
    let (ten, five) = (definition("rolling", 10, 60), definition("rolling", 5, SECONDS_MAX));
    let bucket = definition("token_bucket", 8, 9);
    assert_eq!(read(&[]), Found::Nothing { seq: 0, deleted_version: None });
    let (wanted, generation) = (capacity(10), 1);
    let (kind, manner) = (ten.kind, Manner { mode: ten.mode, overage: ten.overage });
    let (version, capacity_before, deleted_version) = (4, wanted, None);
    let begun = Standing {
        seq: 1,
        generation,
        version,
        kind,
        manner,
        wanted,
        capacity: capacity_before,
        deleted_version,
        since_ns: 0,
    };
    let begin = (Some(Entry::Begin), &ten, 4);
    assert_eq!(read(&log(&[begin])), Found::Limit(begun));
    let waiting = Entry::Lowering { generation, capacity: capacity(10) };
    let lowering = Standing { seq: 2, version: 6, kind: five.kind, wanted: capacity(5), ..begun };
    assert_eq!(read(&log(&[begin, (Some(waiting), &five, 6)])), Found::Limit(lowering));
    assert!(lowering.is_decreasing());
    let lowered = Standing { seq: 3, capacity: capacity(5), ..lowering };
    let entries = [begin, (Some(waiting), &five, 6), (Some(Entry::Change { generation }), &five, 6)];
    assert_eq!(read(&log(&entries)), Found::Limit(lowered));
    assert!(!lowered.is_decreasing());
    assert_eq!(read(&log(&[begin, (None, &ten, 7)])), Found::Nothing { seq: 2, deleted_version: Some(7) });
    let anew = [begin, (None, &ten, 7), (Some(Entry::Begin), &bucket, 2)];
    let Found::Limit(standing) = read(&log(&anew)) else { panic!("it begins anew") };
    assert_eq!((standing.seq, standing.generation, standing.kind), (3, 3, bucket.kind));
}

#[test]
fn every_manner_is_read_as_it_was_written() {
    let ten = definition("rolling", 10, 60);
    for manner in Manner::all() {
        let definition = Definition { mode: manner.mode, overage: manner.overage, ..ten.clone() };
        let Found::Limit(standing) = read(&log(&[(Some(Entry::Begin), &definition, 4)])) else { panic!("a limit") };
        assert_eq!(standing.manner, manner);
    }
    assert_eq!((Manner::all().count(), Manner::numbered(6)), (6, None));
    let shadow = Definition { mode: Mode::Shadow, ..ten.clone() };
    let found = read(&log(&[(Some(Entry::Begin), &ten, 4)]));
    assert_eq!(step(&found, &shadow, 4), Step::Superseded { version: 4 }, "the first of two with one version stays");
    assert_eq!(step(&found, &shadow, 5), Step::Change { seq: 2, raise: 0 });
}

#[test]
fn half_an_entry_is_none() {
    let ten = definition("rolling", 10, 60);
    let waiting = Entry::Lowering { generation: 1, capacity: capacity(20) };
    for missing in 0..4 {
        let mut transfers = log(&[(Some(waiting), &ten, 1)]);
        transfers.remove(missing);
        assert_eq!(read(&transfers), Found::Garbled, "without {missing}");
    }
}

#[test]
fn the_newer_version_wins_and_the_first_of_two_with_one_version_stays() {
    let (ten, five) = (definition("rolling", 10, 60), definition("rolling", 5, 60));
    let found = read(&log(&[(Some(Entry::Begin), &ten, 4)]));
    assert_eq!(step(&Found::Nothing { seq: 3, deleted_version: None }, &ten, 1), Step::Begin { seq: 4 });
    let deleted = Found::Nothing { seq: 3, deleted_version: Some(5) };
    assert_eq!(step(&deleted, &ten, 5), Step::Superseded { version: 5 }, "the deletion is newer");
    assert_eq!(step(&deleted, &ten, 6), Step::Begin { seq: 4 });
    let of_template = Wanted { is_exact: false, ..wanted(&ten, 1) };
    assert_eq!(next_step(&deleted, &of_template), Step::Begin { seq: 4 });
    let mut of_template = Chart::new(1, Maker::random()).entry(KEY, 4, Entry::Begin, &deleted, &of_template);
    of_template.reverse();
    let of_template = read(&of_template);
    assert_eq!(of_template.deleted_version(), Some(5));
    assert_eq!(step(&of_template, &ten, 5), Step::Superseded { version: 5 }, "it stays deleted");
    assert_eq!(step(&of_template, &ten, 6), Step::Change { seq: 5, raise: 0 });
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
    let waiting = Entry::Lowering { generation: 1, capacity: capacity(10) };
    let found = read(&log(&[(Some(Entry::Begin), &ten, 4), (Some(waiting), &five, 5)]));
    assert_eq!(step(&found, &five, 5), Step::Keep);
    assert_eq!(step(&found, &definition("rolling", 2, 60), 6), Step::Lower { seq: 3, by: 8 });
    assert_eq!(step(&found, &ten, 6), Step::Change { seq: 3, raise: 0 });
    assert_eq!(step(&found, &definition("rolling", 12, 60), 6), Step::Change { seq: 3, raise: 2 });
}
