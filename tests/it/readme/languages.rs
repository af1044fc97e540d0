//! The code in README for hosts in Python and JavaScript reserves, calls and completes against a real server, also when
//! it is denied and when answers get lost.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;
use tollgate::policy::LeaseId;

use super::ROOT;
use super::relay::{Asked, Relay};
use crate::support::client::reserve;
use crate::support::server::{Ended, Home, Server, run};

const RPM: &str = "global:llm:openai:gpt-4o:rpm";
const TPM: &str = "/v1/limits/global:llm:openai:gpt-4o:tpm";

/// README's code, and what calls the provider in it.
struct Language {
    name: &'static str,
    file: &'static str,
    answers: &'static str,
    fails: &'static str,
    program: fn() -> Command,
}

const PYTHON: Language = Language {
    name: "python",
    file: "host.py",
    answers: "def ask_provider(): return 1_830",
    fails: "def ask_provider(): raise OSError('no route to the provider')",
    program: || Command::new("python3"),
};

const JAVASCRIPT: Language = Language {
    name: "js",
    file: "host.mjs",
    answers: "async function askProvider() { return 1_830; }",
    fails: "async function askProvider() { throw new Error('no route to the provider'); }",
    program: || {
        let node = std::env::var_os("NODE_BIN").expect("cargo names it, by `.cargo/config.toml`");
        let is_there = Path::new(&node).is_file();
        assert!(is_there, "no Node.js at {}: `cargo xtask test` makes it, or name one with `NODE_BIN`", node.display());
        Command::new(node)
    },
};

impl Language {
    /// Runs it to its end, with limits at `url`.
    async fn run(&self, call: &str, url: String) -> Ended {
        let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("there is a README");
        let begin = format!("\n```{}\n", self.name);
        let (_, rest) = readme.split_once(&begin).expect("README has a block in this language");
        let (code, _) = rest.split_once("\n```\n").expect("the block ends");
        let folder = tempfile::tempdir().expect("a directory");
        std::fs::write(folder.path().join(self.file), format!("{call}\n{code}\n")).expect("the file is written");
        let mut command = (self.program)();
        command.arg(self.file).current_dir(folder.path()).kill_on_drop(true);
        // Not through a proxy of whoever runs the tests.
        command.env("TOLLGATE_URL", url).env("no_proxy", "*");
        run(command).await
    }
}

/// So many tokens a day, and a request every two seconds.
async fn start(tokens: u64) -> (Home, Server) {
    let home = Home::new(&format!(
        r#"
        [[limits]]
        key = "{RPM}"
        kind = "rolling"
        capacity = 1
        window_seconds = 2

        [[limits]]
        key = "global:llm:openai:gpt-4o:tpm"
        kind = "rolling"
        capacity = {tokens}
        window_seconds = 86_400
        "#
    ));
    let server = home.start().await;
    (home, server)
}

/// What of the tokens is used, once nothing is held any more.
async fn used(server: &Server) -> Value {
    let client = server.client();
    let lease = client.read("/v1/status").await["backend"]["live_leases"].clone();
    assert_eq!(lease, 0, "what was granted is completed");
    client.read(TPM).await["used"].clone()
}

fn lease_id(asked: &Asked) -> LeaseId {
    LeaseId::parse(asked.body["lease_id"].as_str().expect("text")).expect("a ULID")
}

/// When it was made, in milliseconds.
fn made_at(id: LeaseId) -> u128 {
    id.as_u128() >> 80
}

async fn check(language: &Language) {
    let (_home, server) = start(2_000).await;
    let relay = Relay::to(server.address).await;
    let script = async {
        let denied = relay.asked().await;
        let taken = server.client().ask("POST", "/v1/reserve", &reserve(RPM, 1)).await.1;
        let ended = serde_json::json!({"lease_id": taken["lease_id"], "actuals": []});
        assert_eq!(server.client().ask("POST", "/v1/complete", &ended).await.0, 200);
        let first_id = lease_id(&denied);
        let told = denied.answered().await;
        assert_eq!((&told["allowed"], &told["error"]), (&Value::from(false), &Value::from("")), "{told}");

        let granted = relay.asked().await;
        let (id, body) = (lease_id(&granted), granted.body.clone());
        let waited = made_at(id).saturating_sub(made_at(first_id));
        assert!(told["retry_after_ms"].as_u64().expect("a number") <= waited as u64, "{told}, and after {waited} ms");
        assert_eq!(granted.path, "/v1/reserve");
        assert_eq!(granted.lost().await["allowed"], true);
        let again = relay.asked().await;
        assert_eq!(again.body, body, "the same again");
        // Of a server that did not look.
        let overloaded =
            serde_json::json!({"allowed": false, "retry_after_ms": 1, "error": "overloaded", "denied": []});
        again.refused(&overloaded).await;
        let again = relay.asked().await;
        assert_eq!((&again.path[..], &again.body), ("/v1/reserve", &body), "the same again");
        assert_eq!(again.answered().await["allowed"], true);

        let completed = relay.asked().await;
        let body = completed.body.clone();
        assert_eq!((&completed.path[..], lease_id(&completed)), ("/v1/complete", id));
        assert_eq!(completed.lost().await["ok"], true);
        let again = relay.asked().await;
        assert_eq!((&again.path[..], &again.body), ("/v1/complete", &body), "the same again");
        assert_eq!(again.answered().await["ok"], true);
    };
    let (ended, ()) = tokio::join!(language.run(language.answers, format!("http://{}", relay.address())), script);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(used(&server).await, 1_830);
}

/// A call that fails is charged what it reserved, and one that never fits is not made.
async fn check_failures(language: &Language) {
    let (_home, server) = start(2_000).await;
    let url = format!("http://{}", server.address);
    let failed = language.run(language.fails, url.clone()).await;
    assert!(failed.code == Some(1) && failed.stderr.contains("no route to the provider"), "{failed:?}");
    assert_eq!(used(&server).await, 2_000);
    let (_home, server) = start(1_999).await;
    let refused = language.run(language.answers, format!("http://{}", server.address)).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("not reserved: "), "{refused:?}");
    assert!(refused.stderr.contains("never_fits:global:llm:openai:gpt-4o:tpm"), "{refused:?}");
    assert_eq!(used(&server).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reserves_calls_and_completes() {
    check(&PYTHON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_is_charged_for_a_call_that_fails_and_makes_none_that_never_fits() {
    check_failures(&PYTHON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_reserves_calls_and_completes() {
    check(&JAVASCRIPT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_is_charged_for_a_call_that_fails_and_makes_none_that_never_fits() {
    check_failures(&JAVASCRIPT).await;
}
