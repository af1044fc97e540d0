//! What people and scripts read of a load.

use std::collections::BTreeMap;

use super::*;
use crate::load::audit::WorstLimit;

fn report() -> Report {
    let mut nanos = Histogram::<u64>::new_with_max(300_000_000_000, 3).expect("good bounds");
    (1..=1_000_u64).for_each(|us| nanos.saturating_record(us * 1_000));
    let mut sizes = Histogram::<u64>::new_with_max(1_024, 3).expect("good bounds");
    [1, 3, 8].into_iter().for_each(|size| sizes.saturating_record(size));
    Report {
        mode: "http",
        backend: "memory".to_owned(),
        seconds: 2.0,
        is_cut_short: true,
        concurrency: 200,
        providers: 3,
        batch_size: 8,
        schedule: Some(Starts { per_second: 600, made: 1_003, missed: 197 }),
        reserves: 1_003,
        reserves_per_second: per_second(1_003, Duration::from_secs(2)),
        allowed: 1_000,
        denied: 2,
        errors: vec![ErrorKind {
            name: "backend_error",
            text: "it broke".to_owned(),
            count: 1,
            first_ms: 70,
            last_ms: 70,
        }],
        http_5xx: Some(0),
        reserve: Latency::of(&nanos),
        complete: Latency::of(&Histogram::new(3).expect("good bounds")),
        own_timer: Latency::of(&nanos),
        batches: Batches::of(&sizes),
        verify: None,
    }
}

#[test]
fn people_read_lines_and_a_table() {
    assert_eq!(
        report().text(),
        concat!(
            "load             http to memory, 200 callers, 3 providers, 2.0 s, ended early\n",
            "schedule         600 starts/s, 1003 made, 197 missed\n",
            "throughput       501.5 reserves/s\n",
            "answers          1000 allowed, 2 denied, 1 errors\n",
            "                 1 backend_error, from 0.1 s to 0.1 s: it broke\n",
            "HTTP 5xx         0\n",
            "batches          3 sent, of 4.0 on average, p50 3, p95 8, max 8\n",
            "\n",
            "LATENCY          p50       p95       p99     p99.9       max       COUNT\n",
            "reserve     500.2 µs  950.3 µs  990.2 µs  999.4 µs   1.00 ms        1000\n",
            "complete      0.0 µs    0.0 µs    0.0 µs    0.0 µs    0.0 µs           0\n",
            "own timer   500.2 µs  950.3 µs  990.2 µs  999.4 µs   1.00 ms        1000\n",
        )
    );
}

#[test]
fn a_check_says_what_it_found_and_what_it_could_not_say() {
    let fine = Audit { reserves_checked: 9, limits_checked: 2, ..Audit::default() };
    let report = Report { verify: Some(fine.clone()), ..report() };
    assert!(report.is_passed());
    assert!(report.text().ends_with("\nover-admissions  0, of 9 grants over 2 limits\n"));
    let worst = Some(WorstLimit { key: "a".to_owned(), capacity: 5, taken: 6, at_ms: 70 });
    let not_checked = BTreeMap::from([("b".to_owned(), "it is a token bucket")]);
    let bad = Audit { over_admissions: 1, worst, reserves_unrecorded: 4, not_checked, ..fine };
    let report = Report { verify: Some(bad), ..report };
    assert!(!report.is_passed());
    let told = concat!(
        "\nover-admissions  1, of 9 grants over 2 limits\n",
        "worst            6 of 5 taken of a, 70 ms after the begin\n",
        "not checked      4 grants: the history was full; use a larger `--history`\n",
        "not checked      b: it is a token bucket\n",
    );
    assert!(report.text().ends_with(told), "{}", report.text());
    let nothing = audit_text(&Audit::default());
    assert!(nothing.ends_with("not checked      anything: nothing was granted of a limit that can be checked\n"));
}

#[test]
fn scripts_read_json() {
    let json = serde_json::to_value(report()).expect("it is plain data");
    assert_eq!((&json["allowed"], &json["errors"][0]["count"]), (&1_000.into(), &1.into()));
    assert_eq!((&json["schedule"]["missed"], &json["verify"]), (&197.into(), &serde_json::Value::Null));
    assert_eq!(json["batches"]["max"], 8);
}

#[test]
fn times_are_shown_in_the_unit_that_suits_them() {
    assert_eq!([0.5, 999.94, 1_000.0, 1_234_567.0].map(shown), ["0.5 µs", "999.9 µs", "1.00 ms", "1.23 s"]);
    assert_eq!(per_second(5, Duration::ZERO), 0.0);
}
