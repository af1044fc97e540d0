//! Commands without a server, without a token, and without sense.

use super::{CONFIG, Desk, check_failed};
use crate::support::server::{Home, Server, run, tollgate};

const ADMIN: &str = "admin-token-0123456789";
const CLIENT: &str = "client-token-0123456789";

#[tokio::test]
async fn without_a_server_every_command_says_how_to_get_one() {
    // Nothing listens on the first port, which only the system could.
    let told = "error: no server answers at `http://127.0.0.1:1`\n\
                hint: start one with `tollgate serve`, or name it with `--server`\n";
    for line in [
        "limits list",
        "limits get a",
        "limits put --key a --kind rolling --capacity 1 --window-seconds 1",
        "limits delete a",
        "status",
        "reserve a=1",
        "reserve a=1 --wait 10",
        "complete 01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ] {
        let words: Vec<_> = line.split(' ').chain(["--server", "http://127.0.0.1:1"]).collect();
        check_failed(&run(tollgate(&words)).await, 1, told);
    }
}

#[tokio::test]
async fn the_server_may_be_named_by_a_variable() {
    let desk = Desk::open().await;
    let mut command = tollgate(&["limits", "get", "rpm"]);
    command.env("TOLLGATE_SERVER", format!("http://{}/", desk.server.address));
    assert_eq!(run(command).await.code, Some(0));
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_told_with_where_to_name_one_and_never_shown() {
    let home = Home::new(CONFIG);
    let mut command = home.serve();
    command.env("TOLLGATE_ADMIN_TOKEN", ADMIN).env("TOLLGATE_CLIENT_TOKEN", CLIENT);
    let server = Server::start(command).await;
    let url = format!("http://{}", server.address);
    let ask = async |line: &str, token: Option<&str>| {
        let words: Vec<_> = line.split(' ').chain(["--server", &url]).collect();
        let mut command = tollgate(&words);
        command.envs(token.map(|token| ("TOLLGATE_TOKEN", token)));
        let ended = run(command).await;
        assert!(token.is_none_or(|token| !ended.stderr.contains(token)), "{ended:?}");
        ended
    };
    for (line, token) in [("status", None), ("reserve rpm=1", Some("wrong-token-0123456789")), ("limits list", None)] {
        let refused = ask(line, token).await;
        check_failed(&refused, 1, "error: Unauthorized: ");
        assert!(refused.stderr.ends_with("\nhint: name a token with `--token` or `TOLLGATE_TOKEN`\n"), "{refused:?}");
    }
    let refused = ask("limits list", Some(CLIENT)).await;
    check_failed(&refused, 1, "error: Forbidden: this route wants an admin token, and got a client's\n");
    assert!(refused.stderr.ends_with("\nhint: name a token of the `admin` scope with `--token`\n"), "{refused:?}");
    assert_eq!(ask("reserve rpm=1", Some(CLIENT)).await.code, Some(0));
    assert_eq!(ask("limits list", Some(ADMIN)).await.code, Some(0));
    assert_eq!(ask(&format!("status --token {CLIENT}"), Some("wrong-token-0123456789")).await.code, Some(0));
}

#[tokio::test]
async fn wrong_usage_exits_with_2_and_help_with_0() {
    for line in ["", "fly", "reserve", "reserve rpm", "complete x", "limits put", "status --server https://a"] {
        let ended = run(tollgate(&line.split_whitespace().collect::<Vec<_>>())).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{line}: {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
    for line in ["--help", "serve --help", "limits put --help", "--version"] {
        let ended = run(tollgate(&line.split(' ').collect::<Vec<_>>())).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}: {ended:?}");
        assert!(!ended.stdout.is_empty());
    }
}
