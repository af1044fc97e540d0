//! The real binary as its users meet it: its words, its exit code, its signals and its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use super::client::Client;
use super::within;

/// How long a process has to start, to end, or to do what is expected of it.
pub(crate) const PATIENCE_SECONDS: u64 = 20;

const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

/// The binary with these words, cut off from the settings and the terminal of whoever runs the tests.
pub(crate) fn tollgate(words: &[&str]) -> Command {
    isolated(BINARY, words)
}

fn isolated(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
        command.env_remove(name);
    }
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Ended {
    let output = within(PATIENCE_SECONDS, command.output()).await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A working directory with a configuration, which also keeps the data. It is gone with the test.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new(config: &str) -> Self {
        let home = Self(tempfile::tempdir().expect("a directory"));
        home.write("tollgate.toml", config);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("the file is written");
    }

    /// Where the limits are kept.
    pub(crate) fn limits_file(&self) -> PathBuf {
        self.path().join("data/limits.json")
    }

    /// Serves what is here, on a free port.
    pub(crate) fn serve(&self) -> Command {
        self.serve_at("127.0.0.1:0")
    }

    pub(crate) fn serve_at(&self, address: &str) -> Command {
        let mut command = tollgate(&["serve", "--listen", address]);
        command.current_dir(self.path());
        command
    }

    /// The same after a shell has done `before`.
    pub(crate) fn serve_after(&self, before: &str) -> Command {
        let script = format!("{before} && exec \"$@\"");
        let mut command = isolated("sh", &["-c", &script, "sh", BINARY, "serve", "--listen", "127.0.0.1:0"]);
        command.current_dir(self.path());
        command
    }

    pub(crate) async fn start(&self) -> Server {
        Server::start(self.serve()).await
    }
}

/// A served Tollgate. Dropping it kills the process.
pub(crate) struct Server {
    process: Child,
    log: Arc<Log>,
    log_reader: JoinHandle<()>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Runs `command` until it serves.
    pub(crate) async fn start(command: Command) -> Self {
        let started = Self::start_unless_it_ends(command).await;
        started.unwrap_or_else(|ended| panic!("it ended before it served:\n{}", ended.stderr))
    }

    /// The same for one that may end before it serves.
    pub(crate) async fn start_unless_it_ends(mut command: Command) -> Result<Self, Ended> {
        let mut process = command.spawn().expect("it runs");
        let log = Arc::new(Log::default());
        let log_reader = tokio::spawn(Arc::clone(&log).read(process.stderr.take().expect("it is piped")));
        let Some(line) = log.line_before_its_end("serving").await else {
            let address = SocketAddr::from(([0, 0, 0, 0], 0)); // It has none.
            return Err(Self { process, log, log_reader, address }.ended().await);
        };
        let address = line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
        Ok(Self { process, log, log_reader, address })
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, None)
    }

    pub(crate) fn client_with(&self, token: &str) -> Client {
        Client::new(self.address, Some(token))
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the signal is sent");
    }

    /// The next line of the log with this message, or the first if it was not asked for before.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        self.log.line(message).await
    }

    /// Nobody reads the log any more.
    pub(crate) async fn close_log(&mut self) {
        self.log_reader.abort();
        let _ = (&mut self.log_reader).await; // It was cancelled, and has closed its end of the pipe.
    }

    /// Waits for its end; the log is its stderr.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = within(PATIENCE_SECONDS, self.process.wait()).await.expect("it ran");
        within(PATIENCE_SECONDS, self.log_reader).await.expect("the log is read to its end");
        let mut stdout = String::new();
        let mut pipe = self.process.stdout.take().expect("it is piped");
        tokio::io::AsyncReadExt::read_to_string(&mut pipe, &mut stdout).await.expect("UTF-8");
        Ended { code: status.code(), stdout, stderr: self.log.text() }
    }

    /// Ends it without a warning, as a crash does.
    pub(crate) async fn crash(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.ended().await.code, None);
    }

    /// Asks it to stop.
    pub(crate) async fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }
}

/// What a process has written to stderr so far, line by line.
#[derive(Default)]
struct Log(Mutex<LogState>);

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    is_over: bool,
    /// How many lines were searched before.
    searched: usize,
}

/// Whether a line is in a log.
enum Search {
    Found(Value),
    NotYet,
    /// It is not, and never will be.
    IsOver,
}

impl Log {
    async fn read(self: Arc<Self>, stderr: ChildStderr) {
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await.expect("UTF-8") {
            self.0.lock().expect("no panic").lines.push(line);
        }
        self.0.lock().expect("no panic").is_over = true;
    }

    fn text(&self) -> String {
        self.0.lock().expect("no panic").lines.join("\n")
    }

    async fn line(&self, message: &str) -> Value {
        let line = self.line_before_its_end(message).await;
        line.unwrap_or_else(|| panic!("the process ended, and `{message}` is not in its log:\n{}", self.text()))
    }

    /// `None` if the process ends without such a line.
    async fn line_before_its_end(&self, message: &str) -> Option<Value> {
        let found = async {
            loop {
                match self.search(message) {
                    Search::Found(line) => return Some(line),
                    Search::IsOver => return None,
                    Search::NotYet => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(PATIENCE_SECONDS), found)
            .await
            .unwrap_or_else(|_| panic!("`{message}` is not in the log:\n{}", self.text()))
    }

    fn search(&self, message: &str) -> Search {
        let mut state = self.0.lock().expect("no panic");
        while let Some(line) = state.lines.get(state.searched) {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            state.searched += 1;
            if line["message"].as_str().is_some_and(|text| text.starts_with(message)) {
                return Search::Found(line);
            }
        }
        if state.is_over { Search::IsOver } else { Search::NotYet }
    }
}
