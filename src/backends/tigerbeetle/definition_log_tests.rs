//! The log of a limit, read and written.

use super::*;
use crate::backends::tigerbeetle::lease::Maker;
use crate::policy::{Definition, DefinitionFields, KeyPattern, SECONDS_MAX};

pub(in crate::backends::tigerbeetle) const KEY: u128 = 77;

pub(in crate::backends::tigerbeetle) fn definition(kind: &str, capacity: u64, period: u64) -> Definition {
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

pub(in crate::backends::tigerbeetle) fn wanted(definition: &Definition, version: u64) -> Wanted {
    let Definition { kind, capacity, mode, overage, .. } = *definition;
    Wanted { origin: Origin::Own, kind, manner: Manner { mode, overage }, capacity, version }
}

/// What is left of a log as it would be written by those who define these, one after the other: its last transfers.
pub(in crate::backends::tigerbeetle) fn log(entries: &[(Option<Entry>, &Definition, u64)]) -> Vec<Transfer> {
    let chart = Chart::new(1, Maker::random());
    let written = entries.iter().zip(1..).flat_map(|((entry, definition, version), seq)| match entry {
        None => vec![chart.retirement(KEY, seq, Some(*version))],
        Some(entry) => chart.entry(KEY, seq, *entry, None, &wanted(definition, *version)),
    });
    let mut written: Vec<_> = written.collect();
    written.reverse();
    written.truncate(PARTS_MAX as usize);
    written
}

pub(in crate::backends::tigerbeetle) fn capacity(capacity: u64) -> NonZeroU64 {
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
        origin: Origin::Own,
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
}

#[test]
fn an_entry_says_whose_it_is_and_what_was_deleted_before() {
    let (chart, ten) = (Chart::new(1, Maker::random()), definition("rolling", 10, 60));
    let template = chart.ids.template(&KeyPattern::parse("t:{x}").expect("a template"));
    for origin in [Origin::Own, Origin::Template(template)] {
        for deleted_version in [None, Some(1), Some(u64::MAX)] {
            let wanted = Wanted { origin, ..wanted(&ten, 1) };
            let mut entry = chart.entry(KEY, 4, Entry::Begin, deleted_version, &wanted);
            entry.reverse();
            let Found::Limit(standing) = read(&entry) else { panic!("a limit") };
            assert_eq!((standing.origin, standing.deleted_version), (origin, deleted_version));
            let found = Found::Nothing { seq: 5, deleted_version };
            assert_eq!(read(&[chart.retirement(KEY, 5, deleted_version)]), found);
        }
    }
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
