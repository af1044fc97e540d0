//! The processes of replicas: detached from who starts them, known again by their command lines.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

/// How long a process may take to end before it is asked the other way.
const END_MS_MAX: u64 = 2_000;
const LOOK_MS: u64 = 20;

/// Starts `command` in a process group of its own: Ctrl-C in this terminal is not for it. It writes to `log`.
pub(super) fn detach(command: &mut Command, log: &Path) -> io::Result<Child> {
    let out = File::options().create(true).append(true).open(log)?;
    let errors = out.try_clone()?;
    command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(errors).spawn()
}

/// Whether `id` is the process that serves `file`, and not another one that was given its id later.
pub(super) fn serves(id: u32, file: &Path) -> bool {
    command_line(id).is_some_and(|line| line.trim_end().ends_with(&*file.to_string_lossy()))
}

/// The words of a process, one space between them; none of one that has ended.
fn command_line(id: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let words = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&words).replace('\0', " "));
    }
    // Where there is no such file, as on macOS.
    let output = Command::new("ps").args(["-ww", "-o", "args=", "-p", &id.to_string()]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ends the process that serves `file`; says whether it has ended. A replica's file is whole at every instant.
pub(super) async fn end(id: u32, file: &Path) -> bool {
    for signal in [Signal::TERM, Signal::KILL] {
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw).filter(|_| serves(id, file)) {
            let _ = kill_process(pid, signal); // It may have ended just now.
        }
        for _ in 0..END_MS_MAX / LOOK_MS {
            if !serves(id, file) {
                return true;
            }
            sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_known_by_its_file_and_ended() {
        let home = tempfile::tempdir().expect("a directory");
        let (file, log) = (home.path().join("data"), home.path().join("log"));
        let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
        for words in [&["-c", "sleep 1000; :"][..], &["-c", script]] {
            let mut child = detach(Command::new("sh").args(words).arg(&file), &log).expect("it runs");
            // A process has its words a moment after it runs.
            let known = async {
                while !serves(child.id(), &file) {
                    sleep(Duration::from_millis(1)).await
                }
            };
            tokio::time::timeout(Duration::from_secs(30), known).await.expect("it is known by its file");
            assert!(!serves(child.id(), &home.path().join("other")));
            assert!(end(child.id(), &home.path().join("other")).await, "it does not serve that, and is left alone");
            assert!(matches!(child.try_wait(), Ok(None)));
            assert!(end(child.id(), &file).await);
            assert!(child.wait().is_ok_and(|status| !status.success()));
        }
    }

    #[tokio::test]
    async fn this_process_serves_no_file() {
        let file = Path::new("/no/such/file");
        assert!(!serves(std::process::id(), file) && end(std::process::id(), file).await);
    }
}
