//! What is done when a test is over, also when its process is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A script that runs when this is dropped, and when the test process ends in any way: a shell waits for the end of its
/// stdin, which is a pipe from here.
pub(crate) struct LastWill(Child);

impl LastWill {
    /// Runs `script` in `folder`, which may have vanished by then.
    pub(crate) fn new(script: &str, folder: &Path) -> Self {
        let script = format!("trap '' HUP INT TERM; cd \"$1\"; read -r _; {script}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(folder);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("there is a shell"))
    }
}

impl Drop for LastWill {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait(); // It cannot fail for a child that nobody else waits for.
    }
}

#[test]
fn it_is_done_when_it_is_dropped() {
    let folder = tempfile::tempdir().expect("a directory");
    let will = LastWill::new("echo done > file", folder.path());
    let file = folder.path().join("file");
    assert!(!file.exists());
    drop(will);
    assert_eq!(std::fs::read_to_string(file).expect("it is there"), "done\n");
}
