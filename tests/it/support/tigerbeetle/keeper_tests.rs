//! The keeper, with `sleep` in place of a server.

use std::path::Path;
use std::process::{Command, Stdio};

use super::keeper::Keeper;
use crate::support::{sleep_ms, within};

const HOLDER: &str = "support::tigerbeetle::keeper_tests::holds_a_process_until_it_is_killed";
const FOLDER: &str = "KEEPER_TEST_FOLDER";

/// A process that writes its id into its log.
fn kept(folder: &Path) -> Keeper {
    std::fs::create_dir(folder).expect("a new folder");
    let script = "echo $$; exec sleep 1000";
    let mut keeper = Keeper::new(folder, &["sh", "-c", script].map(str::to_owned));
    keeper.tell("start");
    keeper
}

/// What `ps` says of it: running, sleeping, stopped (`T`); nothing once it is gone.
fn state_of(log: &str) -> Option<char> {
    let id = log.lines().last().expect("it said its id");
    let output = Command::new("ps").args(["-o", "state=", "-p", id]).output().expect("there is ps");
    String::from_utf8(output.stdout).expect("UTF-8").trim().chars().next()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            sleep_ms(5).await;
        }
    };
    within(20, waited).await;
}

#[tokio::test]
async fn a_process_is_started_stopped_and_killed_and_goes_with_its_folder() {
    let home = tempfile::tempdir().expect("a directory");
    let folder = home.path().join("kept");
    let mut keeper = kept(&folder);
    until(|| keeper.log().ends_with('\n')).await;
    keeper.tell("stop");
    until(|| state_of(&keeper.log()) == Some('T')).await;
    keeper.tell("cont");
    until(|| state_of(&keeper.log()) == Some('S')).await;
    let first = keeper.log();
    keeper.tell("kill");
    assert_eq!(state_of(&first), None, "it is gone when the answer is there");
    keeper.tell("kill");
    keeper.tell("start");
    until(|| keeper.log().lines().count() == 2).await;
    let second = keeper.log();
    keeper.tell("stop");
    drop(keeper);
    assert_eq!((state_of(&second), folder.exists()), (None, false));
}

#[tokio::test]
#[ignore = "the other side of the test below, which starts it as a process"]
async fn holds_a_process_until_it_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let _keeper = kept(Path::new(&folder));
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_process_goes_with_a_test_process_that_is_killed() {
    let home = tempfile::tempdir().expect("a directory");
    let folder = home.path().join("kept");
    let mut holder = Command::new(std::env::current_exe().expect("it has a path"));
    holder.args(["--exact", HOLDER, "--ignored"]).env(FOLDER, &folder).stdout(Stdio::null());
    let mut holder = holder.spawn().expect("it runs");
    let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    until(|| log().ends_with('\n')).await;
    let said = log();
    assert!(state_of(&said).is_some());
    holder.kill().expect("it is killed");
    let _ = holder.wait();
    until(|| !folder.exists()).await;
    assert_eq!(state_of(&said), None);
}
