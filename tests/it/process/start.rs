//! What starts, and what refuses to start with a reason and an exit code.

use serde_json::json;
use tokio::net::TcpListener;
use tollgate::policy::LeaseId;

use super::CONFIG;
use crate::support::client::reserve;
use crate::support::server::{Ended, Home, Server, run, tollgate};

#[track_caller]
fn check(ended: &Ended, code: i32, told: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for part in told {
        assert!(ended.stderr.contains(part), "`{part}` is not told: {}", ended.stderr);
    }
}

#[tokio::test]
async fn the_configuration_of_the_repository_is_served() {
    let data = tempfile::tempdir().expect("a directory");
    let data_dir = data.path().to_str().expect("UTF-8");
    let mut command = tollgate(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let server = Server::start(command).await;
    let client = server.client();
    assert_eq!(client.get("/readyz").await.0, 200);
    let call = json!({"lease_id": LeaseId::generate().to_string(), "requirements": [
        {"key": "global:llm:openai:gpt-4o:rpm", "amount": 1},
        {"key": "tenant:acme:llm:daily_tokens", "amount": 500},
    ]});
    let (status, answer) = client.ask("POST", "/v1/reserve", &call).await;
    assert_eq!((status, &answer["allowed"]), (200, &json!(true)), "{answer}");
    assert!(data.path().join("limits.json").is_file());
    assert_eq!(server.stop().await.code, Some(0));
}

#[tokio::test]
async fn without_a_configuration_there_are_no_limits_and_an_answer_all_the_same() {
    let home = Home::new("");
    std::fs::remove_file(home.path().join("tollgate.toml")).expect("it was there");
    let server = home.start().await;
    assert_eq!(server.client().read("/v1/admin/limits").await, json!({"limits": []}));
    let answer = server.client().ask("POST", "/v1/reserve", &reserve("slot", 1)).await.1;
    assert_eq!(answer["error"], "unknown_limit_key:slot");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let home = Home::new(CONFIG);
    let mut command = tollgate(&["serve", "--listen", &address]);
    command.current_dir(home.path());
    let told = format!("error: cannot listen on `{address}`: ");
    check(&run(command).await, 1, &[&told, "hint: stop what listens there, or choose another address with `--listen`"]);
    assert!(!home.limits_file().exists(), "nothing is written before it can serve");
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_every_mistake_and_its_line() {
    let home =
        Home::new("[server]\nlisten = \"foo\"\nmax_conections = 1\n\n[[limits]]\nkey = \"a\"\nkind = \"rolling\"\n");
    let told = ["tollgate.toml:2: `server.listen`", "tollgate.toml:3: `server.max_conections`", "`limits[0].capacity`"];
    check(&run(home.serve()).await, 2, &told);
    let mut checked = tollgate(&["check"]);
    checked.current_dir(home.path());
    check(&run(checked).await, 2, &told);
    assert!(!home.limits_file().exists());
}

#[tokio::test]
async fn the_world_is_not_served_without_tokens() {
    let home = Home::new("");
    let mut command = tollgate(&["serve", "--listen", "0.0.0.0:0"]);
    command.current_dir(home.path());
    let told = ["`server.listen` is `0.0.0.0:0`: binding to a non-loopback address without tokens is refused\nhint: "];
    check(&run(command).await, 2, &told);

    let mut command = tollgate(&["serve", "--listen", "0.0.0.0:0"]);
    command.current_dir(home.path()).env("TOLLGATE_CLIENT_TOKEN", "client-token-0123456789");
    let mut server = Server::start(command).await;
    server.address.set_ip([127, 0, 0, 1].into());
    assert_eq!(server.client().get("/v1/limits").await.0, 401);
    assert_eq!(server.client_with("client-token-0123456789").get("/v1/limits").await.0, 200);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_until_the_first_ended_even_by_a_crash() {
    let home = Home::new(CONFIG);
    let first = home.start().await;
    let told = ["data/limits.json: is in use by another tollgate\nhint: stop that one, or choose another directory"];
    check(&run(home.serve()).await, 1, &told);
    assert_eq!(first.client().put_rolling("new", 5).await.0, 200, "the first is not disturbed");
    first.crash().await;
    let second = home.start().await;
    assert_eq!(second.client().get("/v1/admin/limits/new").await.0, 200);
    assert_eq!(second.stop().await.code, Some(0));
    let third = home.start().await;
    assert_eq!(third.client().get("/v1/admin/limits/new").await.0, 200);
}

#[tokio::test]
async fn a_registry_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let home = Home::new(CONFIG);
    std::fs::create_dir(home.path().join("data")).expect("a new directory");
    home.write("data/limits.json", "[\n  {\"definition\": ");
    check(&run(home.serve()).await, 1, &["error: data/limits.json:2: is no list of limits: ", "\nhint: mend it, or "]);
    assert_eq!(std::fs::read(home.limits_file()).expect("it is there"), b"[\n  {\"definition\": ");
}

#[cfg(not(feature = "tigerbeetle"))]
#[tokio::test]
async fn a_backend_that_was_left_out_of_the_build_is_told_with_what_to_do() {
    let told = ["error: `backend.kind` is `tigerbeetle`, which this build does not have\n\
         hint: build with `--features tigerbeetle`, or use `memory`"];
    let chosen = Home::new("backend.kind = \"tigerbeetle\"");
    let mut checked = tollgate(&["check"]);
    checked.current_dir(chosen.path());
    check(&run(checked).await, 2, &told);
    check(&run(chosen.serve()).await, 2, &told);
    let mut overridden = chosen.serve();
    overridden.args(["--backend", "memory"]);
    assert_eq!(Server::start(overridden).await.stop().await.code, Some(0));

    let home = Home::new(CONFIG);
    let mut command = home.serve();
    command.args(["--backend", "tigerbeetle"]);
    check(&run(command).await, 2, &told);
    let mut command = home.serve();
    command.args(["--backend", "redis"]);
    check(&run(command).await, 2, &["no such backend; use `memory` or `tigerbeetle`"]);
}

#[tokio::test]
async fn check_says_what_serve_would() {
    let checked = |home: &Home| {
        let mut command = tollgate(&["check"]);
        command.current_dir(home.path());
        run(command)
    };
    let good = checked(&Home::new(CONFIG)).await;
    check(&good, 0, &[]);
    assert_eq!((good.stdout.as_str(), good.stderr.as_str()), ("tollgate.toml: no mistakes, 2 limits\n", ""));
    let exposed = checked(&Home::new("server.listen = \"0.0.0.0:80\"")).await;
    check(&exposed, 2, &["`server.listen`", "hint: "]);
    let loud = checked(&Home::new("telemetry.log_filter = \"tollgate=loud\"")).await;
    check(&loud, 2, &["`telemetry.log_filter`", "hint: "]);
    let missing = run(tollgate(&["check", "--config", "/no/such/file.toml"])).await;
    check(&missing, 2, &["/no/such/file.toml", "hint: "]);
}
