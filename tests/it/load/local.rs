//! Load on a Tollgate in the tool's own process.

use super::{json, load, number};

#[tokio::test]
async fn a_tollgate_of_its_own_is_loaded_and_found_right() {
    let line = "--mode local --backend memory --verify --json --duration 500ms --concurrency 8 --providers 2 --keys 5 \
                --think-ms 1";
    let ended = load(line).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = json(&ended);
    assert_eq!(
        (&report["mode"], &report["backend"], &report["providers"]),
        (&"local".into(), &"memory".into(), &2.into())
    );
    assert!(number(&report, "allowed") > 0 && report["http_5xx"].is_null(), "{report}");
    assert_eq!(report["verify"]["over_admissions"], 0);
    assert_eq!(report["verify"]["reserves_checked"], report["allowed"]);
}

#[tokio::test]
async fn batches_are_for_a_tollgate_of_its_own_too() {
    let ended = load("--mode local --json --duration 300ms --concurrency 8 --batch-size 4").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = json(&ended);
    assert!(number(&report["batches"], "count") > 0 && number(&report["batches"], "max") <= 4, "{report}");
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let ended = load("--mode http --backend memory").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: `--backend` is for `--mode local`"), "{ended:?}");
    let ended = load("--mode local --concurrency 0 --batch-size 300").await;
    let told = "error: this load cannot be made\n  `--concurrency` is 0; use 1 to 10000\n  `--batch-size` is 300; use 1 to 256\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), told));
}
