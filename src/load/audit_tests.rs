//! Runs with few grants, of limits that were right or not.

use super::*;
use crate::load::history::Completed;
use crate::load::workload::{Call, Reach};
use crate::policy::DefinitionFields;

fn listed(key: &str, kind: &str) -> Listed {
    let is_concurrency = kind == "concurrency";
    let fields = DefinitionFields {
        key: key.to_owned(),
        kind: kind.to_owned(),
        capacity: 2,
        window_seconds: (!is_concurrency).then_some(60),
        timeout_seconds: is_concurrency.then_some(60),
        ..DefinitionFields::default()
    };
    Listed { definition: fields.check().expect("a good definition"), version: 1, is_in_force: true }
}

fn limits() -> Vec<Listed> {
    vec![listed("a:rpm", "rolling"), listed("a:concurrency", "concurrency")]
}

fn workload(limits: &[Listed]) -> Workload {
    let reach = Reach { providers: None, instances: 1, hot_percent: 0 };
    Workload::new(limits.to_vec(), reach).expect("limits")
}

fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

/// Granted at, and completed at, these milliseconds.
fn granted(workload: &Workload, answered_ms: u64, completed_ms: u64) -> Admitted {
    let call: Call = workload.draw(&mut fastrand::Rng::new());
    let completion = Some(Completed { sent: at(completed_ms), used: 0 });
    Admitted { call, sent: at(answered_ms - 1), answered: at(answered_ms), completion }
}

#[test]
fn a_grant_above_a_window_or_above_what_runs_at_once_is_found() {
    let limits = limits();
    let workload = workload(&limits);
    let [first, second] = [granted(&workload, 1_001, 1_010), granted(&workload, 1_012, 1_020)];
    let fine = audit(&workload, Some(&limits), &[first, second], at(1_000));
    assert_eq!((fine.over_admissions, fine.reserves_checked, fine.limits_checked), (0, 2, 2));
    assert!(fine.is_passed() && fine.worst.is_none());

    let third = granted(&workload, 1_022, 1_030);
    let above_window = audit(&workload, Some(&limits), &[first, second, third], at(1_000));
    assert_eq!(above_window.over_admissions, 1);
    let worst = WorstLimit { key: "a:rpm".to_owned(), capacity: 2, taken: 3, at_ms: 22 };
    assert_eq!(above_window.worst, Some(worst));
    assert!(!above_window.is_passed() && above_window.is_whole());

    let at_once = [1_001, 1_002, 1_003].map(|ms| granted(&workload, ms, 1_100));
    assert_eq!(audit(&workload, Some(&limits), &at_once, at(1_000)).over_admissions, 2, "of each limit one");
}

#[test]
fn a_limit_that_was_changed_is_not_accused() {
    let limits = limits();
    let workload = workload(&limits);
    let at_once = [1_001, 1_002, 1_003].map(|ms| granted(&workload, ms, 1_100));
    let changed = Listed { version: 2, ..limits[0].clone() };
    let found = audit(&workload, Some(&[changed, limits[1].clone()]), &at_once, at(0));
    assert_eq!((found.over_admissions, found.limits_checked), (1, 1));
    assert_eq!(found.not_checked, BTreeMap::from([("a:rpm".to_owned(), CHANGED)]));
    let taken_over = [limits[0].clone(), limits[1].clone(), listed("{any}:rpm", "rolling")];
    let found = audit(&workload, Some(&taken_over), &at_once, at(0));
    assert_eq!(found.not_checked, BTreeMap::from([("a:rpm".to_owned(), CHANGED)]), "it may be another's now");
    let unread = audit(&workload, None, &at_once, at(0));
    assert_eq!((unread.over_admissions, unread.not_checked.into_values().next()), (0, Some(UNREAD)));
    let gone = audit(&workload, Some(&[]), &at_once, at(0));
    assert_eq!((gone.over_admissions, gone.not_checked.len()), (0, 2));
    assert!(!gone.is_passed(), "what was not looked at is not passed");
}

#[test]
fn a_definition_that_is_not_in_force_promises_nothing() {
    let limits: Vec<_> = limits().into_iter().map(|limit| Listed { is_in_force: false, ..limit }).collect();
    let workload = workload(&limits);
    let found = audit(&workload, Some(&limits), &[granted(&workload, 5, 6)], at(0));
    assert_eq!(found.not_checked.into_values().collect::<Vec<_>>(), [NOT_IN_FORCE; 2]);
}

#[test]
fn a_check_that_is_not_whole_is_not_passed() {
    let audit = Audit { limits_checked: 1, reserves_unrecorded: 1, ..Audit::default() };
    assert!(!audit.is_passed() && !audit.is_whole());
    assert!(!Audit::default().is_whole(), "nothing was checked");
}
