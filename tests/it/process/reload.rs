//! A hang-up signal reads the configuration again.

use rustix::process::Signal;

use super::CONFIG;
use crate::support::server::{Home, Server, tollgate};

const OLD: &str = "old-client-token-0123456789";
const NEW: &str = "new-client-token-0123456789";

fn home(listen: &str) -> Home {
    let home = Home::new(&format!("server.listen = \"{listen}\"\nauth.client_tokens_file = \"client.tokens\"\n"));
    home.write("client.tokens", OLD);
    home
}

async fn statuses(server: &Server) -> [u16; 2] {
    [server.client_with(OLD).get("/v1/limits").await.0, server.client_with(NEW).get("/v1/limits").await.0]
}

#[tokio::test]
async fn a_hang_up_puts_other_tokens_in_force() {
    let home = home("127.0.0.1:0");
    let server = home.start().await;
    assert_eq!(statuses(&server).await, [200, 401]);
    home.write("client.tokens", NEW);
    assert_eq!(statuses(&server).await, [200, 401], "nothing is read before the signal");
    server.signal(Signal::HUP);
    server.logged("read the configuration again").await;
    assert_eq!(statuses(&server).await, [401, 200]);
}

#[tokio::test]
async fn a_configuration_with_mistakes_leaves_the_old_tokens_in_force_and_is_told() {
    let home = home("127.0.0.1:0");
    let server = home.start().await;
    for (name, text, told) in [
        ("client.tokens", "short", "is a token of 5 bytes"),
        (
            "tollgate.toml",
            "auth.client_tokens_file = \"missing\"\nserver.max_conections = 1",
            "`server.max_conections`",
        ),
        ("tollgate.toml", "[[", "tollgate.toml:1"),
    ] {
        home.write(name, text);
        server.signal(Signal::HUP);
        let line = server.logged("the configuration has mistakes, and nothing was changed").await;
        assert!(line["message"].as_str().is_some_and(|message| message.contains(told)), "{line}");
        assert_eq!(statuses(&server).await, [200, 401]);
    }
    home.write("tollgate.toml", "auth.client_tokens_file = \"client.tokens\"");
    home.write("client.tokens", &format!("{OLD}\n{NEW}\n"));
    server.signal(Signal::HUP);
    server.logged("read the configuration again").await;
    assert_eq!(statuses(&server).await, [200, 200], "both count while clients change over");
}

#[tokio::test]
async fn a_hang_up_never_takes_the_tokens_from_a_server_that_the_world_can_reach() {
    let home = home("0.0.0.0:0");
    let mut command = tollgate(&["serve"]);
    command.current_dir(home.path());
    let mut server = Server::start(command).await;
    server.address.set_ip([127, 0, 0, 1].into());
    // This would do for a server that is started with it, but this one listens elsewhere.
    home.write("tollgate.toml", "server.listen = \"127.0.0.1:0\"");
    server.signal(Signal::HUP);
    server.logged("the configuration has mistakes, and nothing was changed").await;
    assert_eq!(server.client().get("/v1/limits").await.0, 401);
    assert_eq!(statuses(&server).await, [200, 401]);
}

#[tokio::test]
async fn limits_that_differ_from_the_saved_ones_are_told_and_not_put_in_force() {
    let home = Home::new(CONFIG);
    let server = home.start().await;
    home.write("tollgate.toml", &CONFIG.replace("capacity = 1\n", "capacity = 7\n").replace("\"rpm\"", "\"new\""));
    server.signal(Signal::HUP);
    let differs = server.logged("the saved limit differs from the configured one").await;
    assert_eq!(differs["key"], "slot");
    let missing = server.logged("this limit is configured, but was not saved").await;
    assert_eq!(missing["key"], "new");
    server.logged("read the configuration again").await;
    assert_eq!(server.client().read("/v1/limits/slot").await["capacity"], 1);
    assert_eq!(server.client().get("/v1/limits/new").await.0, 404);
    assert_eq!(server.client().get("/v1/limits/rpm").await.0, 200);
}

#[tokio::test]
async fn a_preset_that_differs_from_the_saved_limits_is_told_and_not_put_in_force() {
    let home = Home::new(&format!("{CONFIG}[rate_limit]\nqueries_per_minute = 60\n"));
    let server = home.start().await;
    assert_eq!(server.client().read("/v1/limits/rate_limit:queries_per_minute").await["capacity"], 60);
    home.write("tollgate.toml", &format!("{CONFIG}[rate_limit]\nqueries_per_minute = 61\nqueries_per_hour = 5\n"));
    server.signal(Signal::HUP);
    let differs = server.logged("the saved limit differs from the configured one").await;
    assert_eq!(differs["key"], "rate_limit:queries_per_minute");
    let missing = server.logged("this limit is configured, but was not saved").await;
    assert_eq!(missing["key"], "rate_limit:queries_per_hour");
    server.stop().await;

    let server = home.start().await;
    assert_eq!(server.client().read("/v1/limits/rate_limit:queries_per_minute").await["capacity"], 60);
    assert_eq!(server.client().read("/v1/limits/rate_limit:queries_per_hour").await["capacity"], 5);
    let log = server.stop().await.stderr;
    assert_eq!(log.matches("the saved limit differs from the configured one").count(), 1, "{log}");
}
