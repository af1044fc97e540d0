//! A disk that takes no more: the change is refused, and what was in force stays in force everywhere.

use std::path::Path;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::CONFIG;
use crate::support::client::{Client, reserve};
use crate::support::server::{Home, Server};

/// The registry as it is on disk, as it is listed, and as it is enforced.
async fn everything(client: &Client, file: &Path) -> (Vec<u8>, Value, Value) {
    let file = std::fs::read(file).expect("it is there");
    (file, client.read("/v1/admin/limits").await, client.read("/v1/limits").await)
}

/// Every kind of change is refused and leaves `client`'s server as it was.
async fn check_refused(client: &Client, file: &Path) {
    let before = everything(client, file).await;
    let refused = [
        client.put_rolling("rpm", 7).await,
        client.put_rolling("rpm", 2_000_000).await,
        client.put_rolling("new", 5).await,
    ];
    for (status, problem) in refused {
        assert_eq!((status, &problem["error"]), (500, &json!("not_saved")), "{problem}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(
            detail.starts_with("could not save the limits, and so changed nothing: data/limits.json: "),
            "{detail}"
        );
    }
    assert_eq!(everything(client, file).await, before);
    let answer = client.ask("POST", "/v1/reserve", &reserve("rpm", 1)).await.1;
    assert_eq!(answer["allowed"], true, "calls are decided all the same: {answer}");
    let answer = client.ask("POST", "/v1/reserve", &reserve("new", 1)).await.1;
    assert_eq!(answer["error"], "unknown_limit_key:new");
}

async fn check_works_again(client: &Client) {
    let (status, answer) = client.put_rolling("new", 5).await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    assert_eq!(client.ask("DELETE", "/v1/admin/limits/rpm", &Value::Null).await.0, 200);
}

async fn check_kept(home: &Home) {
    let server = home.start().await;
    let status = async |path| server.client().get(path).await.0;
    assert_eq!((status("/v1/limits/new").await, status("/v1/limits/rpm").await), (200, 404));
}

#[tokio::test]
async fn on_a_full_disk_a_change_is_refused_and_works_once_there_is_room() {
    let home = Home::new(CONFIG);
    std::fs::create_dir(home.path().join("data")).expect("a new directory");
    // A file system of its own, that nobody else sees and that is gone with the process.
    let mount = "mount -t tmpfs -o size=64k tollgate data";
    let mut probe = home.serve_after(&format!("unshare --mount sh -c '{mount}' && exit 0"));
    if !probe.status().await.is_ok_and(|status| status.success()) {
        return eprintln!("not tried: this user may not mount");
    }
    let script = format!("exec unshare --mount sh -c '{mount} && exec \"$@\"' sh \"$@\"; true");
    let server = Server::start(home.serve_after(&script)).await;
    let client = server.client();
    let inside = |path: &Path| {
        Path::new(&format!("/proc/{}/root", server.pid())).join(path.strip_prefix("/").expect("absolute"))
    };
    let (file, filler) = (inside(&home.limits_file()), inside(&home.path().join("data/filler")));
    std::fs::write(&filler, vec![0; 1 << 20]).expect_err("it does not fit");
    check_refused(&client, &file).await;
    std::fs::remove_file(&filler).expect("it was there");
    check_works_again(&client).await;
}

#[tokio::test]
async fn at_the_largest_file_that_is_allowed_a_change_is_refused_and_works_once_it_may_be_larger() {
    let home = Home::new(CONFIG);
    // Ignored, as where a service manager starts it, the signal does not end the process, and the write fails.
    let server = Server::start(home.serve_after("trap '' XFSZ")).await;
    let client = server.client();
    let largest = |bytes| {
        prlimit(Some(server.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("it is set");
    };
    largest(Some(100));
    check_refused(&client, &home.limits_file()).await;
    largest(None);
    check_works_again(&client).await;
    assert_eq!(server.stop().await.code, Some(0));
    check_kept(&home).await;
}
