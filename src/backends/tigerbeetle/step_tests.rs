//! What has to be written, after what.

use super::*;
use crate::backends::tigerbeetle::chart::Chart;
use crate::backends::tigerbeetle::definition_log::tests::{KEY, capacity, definition, log, wanted};
use crate::backends::tigerbeetle::definition_log::{Entry, read};
use crate::backends::tigerbeetle::lease::Maker;
use crate::policy::{Definition, KeyPattern, Mode};

fn step(found: &Found, definition: &Definition, version: u64) -> Step {
    wanted(definition, version).next_step(found, Precedence::Newer)
}

#[test]
fn the_newer_version_wins_and_the_first_of_two_with_one_version_stays() {
    let (ten, five) = (definition("rolling", 10, 60), definition("rolling", 5, 60));
    let found = read(&log(&[(Some(Entry::Begin), &ten, 4)]));
    assert_eq!(step(&Found::Nothing { seq: 3, deleted_version: None }, &ten, 1), Step::Begin { seq: 4 });
    let deleted = Found::Nothing { seq: 3, deleted_version: Some(5) };
    assert_eq!(step(&deleted, &ten, 5), Step::Superseded { version: 5 }, "the deletion is newer");
    assert_eq!(step(&deleted, &ten, 6), Step::Begin { seq: 4 });
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

#[test]
fn another_mode_is_another_definition() {
    let ten = definition("rolling", 10, 60);
    let shadow = Definition { mode: Mode::Shadow, ..ten.clone() };
    let found = read(&log(&[(Some(Entry::Begin), &ten, 4)]));
    assert_eq!(step(&found, &shadow, 4), Step::Superseded { version: 4 }, "the first of two with one version stays");
    assert_eq!(step(&found, &shadow, 5), Step::Change { seq: 2, raise: 0 });
}

#[test]
fn versions_of_different_definitions_say_nothing_of_each_other() {
    let (ten, chart) = (definition("rolling", 10, 60), Chart::new(1, Maker::random()));
    let template = Origin::Template(chart.ids.template(&KeyPattern::parse("t:{x}").expect("a template")));
    let of_template = Wanted { origin: template, ..wanted(&ten, 1) };
    let deleted = Found::Nothing { seq: 3, deleted_version: Some(5) };
    assert_eq!(of_template.next_step(&deleted, Precedence::Newer), Step::Begin { seq: 4 }, "that was another one");
    let mut entry = chart.entry(KEY, 4, Entry::Begin, Some(5), &Wanted { version: 7, ..of_template });
    entry.reverse();
    let instance = read(&entry);
    assert!(wanted(&ten, 5).is_deleted(instance.deleted_version()), "it stays deleted");
    assert!(!of_template.is_deleted(instance.deleted_version()));
    let own = wanted(&ten, 6).next_step(&instance, Precedence::Wanted);
    assert_eq!(own, Step::Change { seq: 5, raise: 0 }, "though the template has a higher number");
    let found = read(&log(&[(Some(Entry::Begin), &ten, 4)]));
    let superseded = Wanted { version: 9, ..of_template }.next_step(&found, Precedence::Found);
    assert_eq!(superseded, Step::Superseded { version: 4 }, "a limit of its own stays what it is");
}
