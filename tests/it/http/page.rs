//! The page people watch, in a real browser.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;
use tollgate::api::ServeOptions;
use tollgate::config::{AuthConfig, Secret};

use super::server::{Server, concurrency, reserve, rolling};
use crate::support::within;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser that `CHROMIUM_BIN` names, or the first on the path.
fn browser() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM_BIN").filter(|named| !named.is_empty()) {
        return named.into();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&folders).collect();
    let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.expect("the page tests need a browser: install `chromium`, or name one with `CHROMIUM_BIN`")
}

/// The page after its script has run for a while.
async fn look_at(server: &Server) -> String {
    let profile = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(browser());
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("http://{}/", server.address))
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = within(90, command.output()).await.expect("the browser runs");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_limits_and_actors() {
    let mut tokens = rolling("tenant:{t}", 100);
    tokens["unit"] = json!("<b onclick=x>tokens");
    let server = Server::start(&[tokens, concurrency("slots", 4)]).await;
    server.post("/v1/reserve", &reserve("tenant:acme", 70)).await.done();
    server.post("/v1/reserve", &reserve("tenant:acme", 70)).await.done();
    server.post("/v1/breakers/llm%3Aup/enter", &json!({})).await.done();
    server.put("/v1/admin/breakers/llm%3Aup", &json!({"override": "forced_open"})).await.done();
    let page = look_at(&server).await;
    for shown in [
        ">llm:up</th>",
        ">open</span>",
        ">forced_open</span>",
        "tenant:acme",
        "70 / 100",
        "<td>&lt;b onclick=x&gt;tokens</td>",
        "slots",
        "0 / 4",
        "aria-valuenow=\"70\"",
        "1 live leases",
        "root",
    ] {
        assert!(page.contains(shown), "{shown} is not in\n{page}");
    }
    assert!(page.contains("style=\"width: 70%;\""), "{page}");
    assert!(page.contains("id=\"problem\" role=\"alert\" hidden"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_asks_for_a_token_where_the_server_wants_one() {
    let client = vec![Secret::parse("client-token-0123456789").expect("a good token")];
    let access = AuthConfig { admin: Vec::new(), client };
    let server = Server::start_with(&[rolling("a", 1)], ServeOptions { access, ..ServeOptions::default() }).await;
    let page = look_at(&server).await;
    assert!(page.contains("<form id=\"access\">") && page.contains("this route wants a token"), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn it_loads_and_runs_nothing_but_itself() {
    let server = Server::start(&[]).await;
    let (one, other) = (server.get("/").await, server.get("/").await);
    let policy = one.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert_ne!(policy, other.header("content-security-policy"), "a nonce is used once");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert_eq!(one.text.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    for banned in ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!one.text.contains(banned), "{banned}");
    }
    server.stop().await;
}
