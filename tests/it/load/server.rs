//! Load on a real server.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{CONFIG, json, load, number};
use crate::support::server::{Home, PATIENCE_SECONDS, Server, run, tollgate};
use crate::support::{sleep_ms, within};

struct Target {
    server: Server,
    _home: Home,
}

impl Target {
    async fn start(config: &str) -> Self {
        let home = Home::new(config);
        Self { server: home.start().await, _home: home }
    }

    fn words(&self, line: &str) -> String {
        format!("{line} --server http://{}", self.server.address)
    }
}

/// What every run on a server that is well has to show.
#[track_caller]
fn check_well(report: &Value) {
    assert_eq!((&report["mode"], &report["backend"]), (&"http".into(), &"memory".into()));
    assert_eq!((&report["errors"], &report["http_5xx"]), (&serde_json::json!([]), &0.into()), "{report}");
    let (allowed, denied) = (number(report, "allowed"), number(report, "denied"));
    assert!(allowed > 0, "{report}");
    assert_eq!(number(report, "reserves"), allowed + denied);
    assert_eq!(
        (&report["reserve"]["count"], &report["complete"]["count"]),
        (&(allowed + denied).into(), &allowed.into())
    );
    assert!(report["reserve"]["p50_us"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn a_server_is_loaded_and_found_right() {
    let target = Target::start(CONFIG).await;
    let ended = load(&target.words("--verify --json --duration 1500ms --concurrency 16 --keys 3 --think-ms 5")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = json(&ended);
    check_well(&report);
    assert!(number(&report, "denied") > 0, "the limits are soon full: {report}");
    assert_eq!(report["batches"]["max"], 1);
    let verify = &report["verify"];
    assert_eq!((&verify["over_admissions"], &verify["reserves_unrecorded"]), (&0.into(), &0.into()));
    assert_eq!((&verify["reserves_checked"], &verify["limits_checked"]), (&report["allowed"], &6.into()), "{report}");
}

#[tokio::test]
async fn requests_travel_together_by_a_schedule() {
    let target = Target::start(CONFIG).await;
    // Several starts fall into each tick of a timer, so that some meet however fast the server is.
    let line = "--json --duration 1s --concurrency 32 --rate 8000 --batch-size 8 --hot-key 50 --providers 1";
    let ended = load(&target.words(line)).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = json(&ended);
    check_well(&report);
    let schedule = &report["schedule"];
    assert_eq!(number(schedule, "made"), number(&report, "reserves"), "{report}");
    assert!(number(schedule, "made") + number(schedule, "missed") >= 8000, "{report}");
    assert!((2..=8).contains(&number(&report["batches"], "max")), "{report}");
    assert_eq!((&report["providers"], &report["verify"]), (&1.into(), &Value::Null));
}

#[tokio::test]
async fn people_read_a_report_and_a_full_history_is_no_pass() {
    let target = Target::start(CONFIG).await;
    let ended = load(&target.words("--verify --history 1 --duration 300ms --concurrency 4")).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{ended:?}");
    let begin = "load             http to memory, 4 callers, 2 providers, ";
    assert!(ended.stdout.starts_with(begin), "{ended:?}");
    assert!(ended.stdout.contains("\nLATENCY          p50"), "{ended:?}");
    assert!(ended.stdout.contains("\nover-admissions  0, of 1 grants over "), "{ended:?}");
    assert!(ended.stdout.ends_with(" grants: the history was full; use a larger `--history`\n"), "{ended:?}");
}

#[tokio::test]
async fn a_signal_ends_it_early_with_a_report() {
    let target = Target::start(CONFIG).await;
    let words = target.words("load --verify --json --duration 60m --think-ms 60000 --concurrency 2");
    let loading = tollgate(&words.split(' ').collect::<Vec<_>>()).spawn().expect("it runs");
    let pid = loading.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
    let has_begun = async {
        while number(&target.server.client().read("/v1/status").await["backend"], "live_leases") == 0 {
            sleep_ms(5).await;
        }
    };
    within(PATIENCE_SECONDS, has_begun).await;
    kill_process(pid, Signal::INT).expect("the signal is sent");
    let output = within(PATIENCE_SECONDS, loading.wait_with_output()).await.expect("it ran");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &report["is_cut_short"]), (Some(0), &true.into()), "{report}");
    check_well(&report);
    assert_eq!(target.server.client().read("/v1/status").await["backend"]["live_leases"], 0, "what runs is completed");
}

#[tokio::test]
async fn what_cannot_be_loaded_says_what_to_do() {
    let told = "error: no server answers at `http://127.0.0.1:1`\n";
    let ended = load("--server http://127.0.0.1:1").await;
    assert!(ended.code == Some(1) && ended.stderr.starts_with(told), "{ended:?}");

    let empty = Target::start("").await;
    let ended = load(&empty.words("--duration 1s")).await;
    let told = "error: the server has no limits\nhint: define some with `tollgate limits put`\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), told));

    let target = Target::start(CONFIG).await;
    let ended = load(&target.words("--providers 3")).await;
    let told = "error: `--providers` is 3\nhint: use 1 to 2: as many have limits\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), told));

    let mut command = tollgate(&["load", "--server", "http://127.0.0.1:1"]);
    command.env("TOLLGATE_TOKEN", "short");
    let ended = run(command).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("error: `--token` is a token of 5 bytes, not of 16 to 512"), "{ended:?}");
}
