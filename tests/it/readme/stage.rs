//! Where the commands of a tour are given: a folder with README's configuration, and the servers that it starts.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::ROOT;
use crate::support::last_will::LastWill;

const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

/// Where README's servers listen; here they have other addresses.
const LISTEN: [&str; 2] = ["127.0.0.1:8080", "127.0.0.1:8081"];

pub(super) struct Stage {
    servers: Vec<Server>,
    /// What README says, and what is said here.
    names: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    _will: Option<LastWill>,
    folder: TempDir,
}

/// It ends with the stage.
struct Server(Child);

impl Stage {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        std::os::unix::fs::symlink(Path::new(ROOT).join("config"), folder.path().join("config")).expect("a link");
        Self { servers: Vec::new(), names: Vec::new(), variables: Vec::new(), _will: None, folder }
    }

    /// What README calls `theirs` is called `ours` here.
    pub(super) fn rename(&mut self, theirs: &str, ours: &str) {
        self.names.push((theirs.to_owned(), ours.to_owned()));
    }

    pub(super) fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    /// Has a command run in any case.
    #[cfg(feature = "tigerbeetle")]
    pub(super) fn at_the_end(&mut self, line: &str) {
        self._will = Some(LastWill::new(&format!("PATH='{}'; {line}", path()), self.folder.path()));
    }

    /// Starts a server by its command line, at a free port.
    pub(super) fn serve(&mut self, line: &str) {
        let theirs = LISTEN[self.servers.len()];
        let words = line.split_whitespace().skip(1).filter(|word| *word != "--listen" && *word != theirs);
        let mut command = self.command(BINARY);
        command.args(words).args(["--listen", "127.0.0.1:0"]).env("TOLLGATE_TELEMETRY_LOG_FORMAT", "json");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let address = log.find_map(|line| {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            event["address"].as_str().map(str::to_owned)
        });
        let address = address.expect("it tells its address");
        std::thread::spawn(move || log.for_each(drop));
        self.rename(theirs, &address);
        if self.servers.is_empty() {
            self.set("TOLLGATE_SERVER", &format!("http://{address}"));
        }
        self.servers.push(Server(child));
    }

    /// What a terminal would show for one command, in the words of README.
    pub(super) fn shown(&self, command: &str) -> String {
        let line = self.names.iter().fold(command.to_owned(), |line, (theirs, ours)| line.replace(theirs, ours));
        let mut shell = self.command("sh");
        let output = shell.args(["-c", &format!("exec 2>&1; {line}")]).output().expect("a shell");
        let text = String::from_utf8(output.stdout).expect("it is text");
        self.names.iter().fold(text, |text, (theirs, ours)| text.replace(ours, theirs)).trim_end().to_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("PATH", path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// With our binary first.
fn path() -> String {
    let ours = Path::new(BINARY).parent().expect("a folder").display();
    format!("{ours}:{}", std::env::var("PATH").unwrap_or_default())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
