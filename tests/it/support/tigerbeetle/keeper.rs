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
