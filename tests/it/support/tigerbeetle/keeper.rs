//! A process that ends with the test process, however that ends.
//!
//! Its parent is a small shell that reads words from a pipe. The pipe closes with the test process, also when that is
//! killed; then the shell ends the process and removes its folder. All signals are sent by the parent: the id of a
//! process that it has not waited for is nobody else's.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Answers each word when it is done; `kill` is done when the process is gone. Ctrl-C, which every process of the
/// terminal hears, it leaves to the test process.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
folder=$1 log=$2 pid=
shift 2
end() {
    [ -z "$pid" ] || { kill -KILL "$pid"; wait "$pid"; }
    pid=
}
while read -r word; do
    case $word in
        start) end; "$@" </dev/null >>"$log" 2>&1 & pid=$! ;;
        kill) end ;;
        stop) kill -STOP "$pid" ;;
        cont) kill -CONT "$pid" ;;
    esac
    echo done
done
end
rm -rf "$folder"
"#;

/// Owns a folder, and at most one process that runs `command`.
pub(super) struct Keeper {
    /// None once it was told to end.
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    shell: Child,
    log: PathBuf,
}

impl Keeper {
    /// Takes over `folder`, which is removed at the end. Nothing runs yet.
    pub(super) fn new(folder: &Path, command: &[String]) -> Self {
        let log = folder.join("log");
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "sh"]).arg(folder).arg(&log).args(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("there is a shell");
        let words = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("it is piped"));
        Self { words, answers, shell, log }
    }

    /// Has `start`, `kill`, `stop` or `cont` done.
    pub(super) fn tell(&mut self, word: &str) {
        let words = self.words.as_mut().expect("it is told to end only when it is dropped");
        writeln!(words, "{word}").expect("the shell reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the shell answers");
        assert_eq!(answer, "done\n", "the shell that was told to {word} has ended");
    }

    /// What the process has written so far, those before a restart included.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.words.take());
        let _ = self.shell.wait(); // It cannot fail for a child that nobody else waits for.
    }
}

/// With `sleep` in place of a server.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{sleep_ms, within};

    const HOLDER: &str = "support::tigerbeetle::keeper::tests::holds_a_process_until_it_is_killed";
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
}
