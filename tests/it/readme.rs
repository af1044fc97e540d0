//! The tour in README.md is run against a real server, and prints what README.md shows.
//! With `UPDATE_README=1` it writes what was printed into README.md instead of comparing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A server of its own, which ends with the test.
struct Server {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config", "config/tollgate.toml", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(data.path()).current_dir(ROOT).env("TOLLGATE_TELEMETRY_LOG_FORMAT", "json");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let line = log.next().expect("it logs").expect("it is text");
        let event: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let address = event["address"].as_str().expect("it tells its address").to_owned();
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address, _data: data }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal would show for one command.
fn shown(server: &Server, command: &str) -> String {
    let line = command.replace("127.0.0.1:8080", &server.address);
    let path = format!(
        "{}:{}",
        Path::new(BINARY).parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1; {line}")]).env("PATH", path).current_dir(ROOT);
    let output = shell.env("TOLLGATE_SERVER", format!("http://{}", server.address)).output().expect("a shell");
    String::from_utf8(output.stdout).expect("it is text").trim_end().to_owned()
}

/// The commands of the tour with what is shown below each, and all other lines as they are.
fn tour(readme: &str, mut show: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut in_console = false;
    for line in readme.lines() {
        match (in_console, line) {
            (false, "```console") => in_console = true,
            (true, "```") => in_console = false,
            (true, _) if !line.starts_with("$ ") => continue, // What was shown last time.
            _ => {}
        }
        out.push_str(line);
        out.push('\n');
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            let printed = show(command);
            if !printed.is_empty() {
                out.push_str(&printed);
                out.push('\n');
            }
        }
    }
    out
}

/// The text with what differs from run to run made equal: lease ids that were made up, times and waits.
fn settled(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (body, end) = word.split_at(word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len());
        let is_made_up_id = body.len() == 26 && !body.ends_with("TR01");
        let is_number = 4 < body.len() && body.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(if is_made_up_id {
            "ID"
        } else if is_number && !["299000", "300000", "298170"].contains(&body) {
            "N"
        } else {
            body
        });
        out.push_str(end);
    }
    out
}

#[test]
fn the_tour_prints_what_readme_shows() {
    let path = Path::new(ROOT).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README");
    let server = Server::start();
    let ran = tour(&readme, |command| shown(&server, command));
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, ran).expect("README can be written");
        return;
    }
    for (shown, printed) in readme.lines().zip(ran.lines()) {
        assert_eq!(
            settled(shown),
            settled(printed),
            "README.md shows something else; `UPDATE_README=1 cargo test --test it readme` mends it"
        );
    }
    assert_eq!(readme.lines().count(), ran.lines().count());
}
