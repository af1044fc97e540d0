//! The client commands end to end: what they print, and how they exit.

mod access;
mod breakers;
mod calls;
mod limits;

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::server::{Ended, Home, PATIENCE_SECONDS, Server, run, tollgate};
use crate::support::within;

/// A limit of one slot, and one of 60 requests.
const CONFIG: &str = r#"
[[limits]]
key = "slot"
kind = "concurrency"
capacity = 1
timeout_seconds = 600

[[limits]]
key = "rpm"
kind = "rolling"
capacity = 60
window_seconds = 60
unit = "requests"
"#;

/// A server, and the commands that ask it.
struct Desk {
    server: Server,
    _home: Home,
}

impl Desk {
    async fn open() -> Self {
        let home = Home::new(CONFIG);
        Self { server: home.start().await, _home: home }
    }

    /// The words of `line`, and which server to ask.
    fn words(&self, line: &str) -> Vec<String> {
        let server = ["--server".to_owned(), format!("http://{}", self.server.address)];
        line.split(' ').map(str::to_owned).chain(server).collect()
    }

    async fn ask(&self, line: &str) -> Ended {
        let words = self.words(line);
        run(tollgate(&words.iter().map(String::as_str).collect::<Vec<_>>())).await
    }

    /// The same with `input` on stdin.
    async fn tell(&self, line: &str, input: &str) -> Ended {
        let words = self.words(line);
        let mut command = tollgate(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = within(PATIENCE_SECONDS, child.wait_with_output()).await.expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What a command that works prints.
    async fn told(&self, line: &str) -> String {
        let ended = self.ask(line).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}: {ended:?}");
        ended.stdout
    }

    /// The same as JSON.
    async fn json(&self, line: &str) -> Value {
        let text = self.told(&format!("{line} --json")).await;
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// A command that does not work prints nothing, and says why.
#[track_caller]
fn check_failed(ended: &Ended, code: i32, told: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
    assert!(ended.stderr.starts_with(told), "{told}\nis not how this begins:\n{}", ended.stderr);
}
