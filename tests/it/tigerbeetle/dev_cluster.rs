//! `tollgate dev-cluster`, with real servers, and with one that fails.

use std::net::TcpListener;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::servers::{client, create, ledger_of};
use crate::support::addresses::free_addresses;
use crate::support::last_will::LastWill;
use crate::support::server::{self, Ended, tollgate};
use crate::support::tigerbeetle::room;
use crate::support::{sleep_ms, within};

/// How long a command may take, on a machine that is busy.
const PATIENCE_SECONDS: u64 = 120;

/// A program in place of the server: it fails at what `FAILING_AT` says.
const FAILING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tigerbeetle/failing_server");

/// Where commands are given. What they start is stopped, and its files are gone, when the test process ends in any way.
struct Desk {
    _will: LastWill,
    port: u16,
    home: TempDir,
}

impl Desk {
    fn new(replicas: u16) -> Self {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let stop = concat!("'", env!("CARGO_BIN_EXE_tollgate"), "' dev-cluster stop; rm -rf data");
        let port = free_addresses(replicas)[0].port();
        Self { _will: LastWill::new(stop, home.path()), port, home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("data/tigerbeetle").join(name)
    }

    /// A command to the cluster, with these variables in its environment.
    async fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ended {
        let mut command = tollgate(&format!("dev-cluster {line}").split(' ').collect::<Vec<_>>());
        command.current_dir(self.home.path()).envs(variables.iter().copied());
        let output = within(PATIENCE_SECONDS, command.output()).await.expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What a command that works prints.
    async fn told(&self, line: &str) -> String {
        let ended = self.run(line, &[]).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}: {ended:?}");
        ended.stdout
    }

    /// What a command that does not work says.
    async fn refused(&self, line: &str, variables: &[(&str, &str)]) -> String {
        let ended = self.run(line, variables).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{line}: {ended:?}");
        ended.stderr
    }

    fn processes(&self) -> Vec<i32> {
        let text = std::fs::read(self.path("cluster.json")).expect("it runs");
        let state: Value = serde_json::from_slice(&text).expect("JSON");
        serde_json::from_value(state["processes"].clone()).expect("numbers")
    }

    /// What `status` shows: the state of each replica.
    async fn states(&self) -> Vec<String> {
        let table = self.told("status").await;
        table.lines().skip(1).map(|line| line.split_whitespace().nth(1).expect("a state").to_owned()).collect()
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[tokio::test]
async fn a_cluster_of_one_is_started_shown_and_stopped_and_keeps_its_books() {
    let (_room, desk) = (room(1).await, Desk::new(1));
    let (start, port) = (format!("start --port {}", desk.port), desk.port);
    let told = desk.told(&start).await;
    let process = desk.processes()[0].to_string();
    let process_column = format!("{process:>7}");
    let table = format!(
        "REPLICA  STATE  ADDRESS         SIZE      FILE                                         PROCESS\n      0  runs   \
         127.0.0.1:{port}  1.06 GiB  data/tigerbeetle/replica-0-of-1.tigerbeetle  {process_column}\n"
    );
    let rest = format!(
        "\nFor development only: each takes 1.45 GiB of memory, and all together take 8 clients.\n\n\
         With this in tollgate.toml, run `tollgate serve --backend tigerbeetle`:\n\n\
         [backend.tigerbeetle]\naddresses = [\"127.0.0.1:{port}\"]\n"
    );
    assert_eq!(told, format!("{table}{rest}"));
    assert_eq!(desk.told("status").await, table);
    assert_eq!(desk.told(&start).await, format!("it runs already\n\n{table}{rest}"));
    assert_eq!(desk.told("start --port 1").await, format!("it runs already\n\n{table}{rest}"), "where it runs");
    let (_, settings) = rest.split_once(":\n\n").expect("settings");
    std::fs::write(desk.home.path().join("tollgate.toml"), settings).expect("written");
    let mut check = tollgate(&["check"]);
    check.current_dir(desk.home.path());
    assert_eq!(server::run(check).await.stdout, "tollgate.toml: no mistakes, 0 limits\n");

    create(&client(&[([127, 0, 0, 1], port).into()]), 7, 1).await;
    assert_eq!(
        desk.run("start --replicas 3", &[]).await.stderr,
        "error: the files in `data/tigerbeetle` are for 1 replica, and `--replicas` is 3\n\
         hint: leave `--replicas` out, or name another folder with `--dir`\n"
    );
    assert_eq!(desk.told("stop").await, "replica 0 has ended\n");
    assert!(is_free(port));
    assert_eq!(desk.told("stop").await, "nothing runs\n");
    assert_eq!(
        desk.told("status").await,
        "REPLICA  STATE    ADDRESS  SIZE      FILE                                         PROCESS\n      0  stopped  \
         -        1.06 GiB  data/tigerbeetle/replica-0-of-1.tigerbeetle  -\n"
    );
    desk.told(&start).await;
    assert_eq!(ledger_of(&client(&[([127, 0, 0, 1], port).into()]), 7).await, Some(1));
}

#[tokio::test]
async fn a_replica_that_died_is_brought_back_beside_those_that_run() {
    let (_room, desk) = (room(3).await, Desk::new(3));
    let told = desk.told(&format!("start --replicas 3 --port {}", desk.port)).await;
    let addresses: Vec<_> = (desk.port..).take(3).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    assert!(told.ends_with(&format!("\naddresses = [{}]\n", addresses.join(", "))), "{told}");
    assert_eq!(desk.states().await, ["runs"; 3]);

    let before = desk.processes();
    kill_process(Pid::from_raw(before[1]).expect("a process"), Signal::KILL).expect("it runs");
    let gone = async {
        while desk.states().await != ["runs", "stopped", "runs"] || !is_free(desk.port + 1) {
            sleep_ms(20).await;
        }
    };
    within(PATIENCE_SECONDS, gone).await;
    desk.told("start").await;
    assert_eq!(desk.states().await, ["runs"; 3]);
    let after = desk.processes();
    assert_eq!((before[0], before[2]), (after[0], after[2]));
    assert_ne!(before[1], after[1]);
    assert_eq!(desk.told("stop").await, "replica 0 has ended\nreplica 1 has ended\nreplica 2 has ended\n");
    assert_eq!(desk.states().await, ["stopped"; 3]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let desk = Desk::new(3);
    let taken = TcpListener::bind(("127.0.0.1", desk.port + 2)).expect("it was free");
    let address = taken.local_addr().expect("it is bound");
    let refused = desk.refused(&format!("start --replicas 3 --port {}", desk.port), &[]).await;
    let in_use = format!("error: `{address}` cannot be listened on: Address already in use (os error ");
    assert!(refused.starts_with(&in_use), "{refused}");
    assert!(refused.ends_with("\nhint: stop what listens there, or choose another port with `--port`\n"), "{refused}");
    assert!(!desk.path("replica-0-of-3.tigerbeetle").exists());
}

#[tokio::test]
async fn where_no_cluster_is_every_command_says_how_to_make_one() {
    let desk = Desk::new(1);
    for line in ["stop", "status"] {
        assert_eq!(
            desk.refused(&format!("{line} --dir none"), &[]).await,
            "error: there is no cluster in `none`\n\
             hint: `tollgate dev-cluster start` makes one; `--dir` names another folder\n"
        );
    }
    assert!(!desk.home.path().join("none").exists());
    let refused = desk.refused("start", &[("TB_BIN", "no/such/server")]).await;
    assert!(refused.starts_with("error: `TB_BIN` is `no/such/server`, where no file is\nhint: "), "{refused}");
}

#[tokio::test]
async fn a_server_that_fails_is_told_with_its_reason_and_leaves_nothing_that_runs() {
    let desk = Desk::new(1);
    let start = format!("start --port {}", desk.port);
    let failing = |at| [("TB_BIN", FAILING), ("FAILING_AT", at)];
    assert_eq!(
        desk.refused(&start, &failing("format")).await,
        "error: `data/tigerbeetle/replica-0-of-1.unfinished` was not made: error: NoSpaceLeft\n"
    );
    let files = || std::fs::read_dir(desk.path("")).expect("a folder").count();
    assert_eq!(files(), 1, "nothing but the lock");
    assert_eq!(
        desk.refused(&start, &failing("start")).await,
        "error: replica 0 has ended: thread 7 panic: no memory\n\
         hint: `data/tigerbeetle/replica-0.log` has all that it said\n"
    );
    assert_eq!(desk.states().await, ["stopped"]);
}

/// The ids of processes that are gone are given to others.
#[tokio::test]
async fn a_process_that_is_no_replica_is_left_alone() {
    let desk = Desk::new(1);
    std::fs::create_dir_all(desk.path("")).expect("a folder");
    std::fs::write(desk.path("replica-0-of-1.tigerbeetle"), "").expect("written");
    let state = format!(r#"{{"port":{},"processes":[{}]}}"#, desk.port, std::process::id());
    std::fs::write(desk.path("cluster.json"), state).expect("written");
    assert_eq!(desk.states().await, ["stopped"]);
    assert_eq!(desk.told("stop").await, "nothing runs\n");
}
