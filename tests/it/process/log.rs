//! The log: JSON a line, with the ids of requests and without secrets.

use serde_json::{Value, json};

use super::CONFIG;
use crate::support::client::reserve;
use crate::support::server::{Home, Server};

const TOKEN: &str = "client-token-0123456789";
const ADMIN_TOKEN: &str = "admin-token-0123456789";
const WRONG_TOKEN: &str = "wrong-token-0123456789";

#[tokio::test]
async fn every_line_is_json_requests_have_ids_and_tokens_are_not_told_even_when_everything_is() {
    let home = Home::new(&format!("telemetry.log_filter = \"trace\"\n{CONFIG}"));
    let mut command = home.serve();
    command.env("TOLLGATE_CLIENT_TOKEN", TOKEN).env("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN);
    let server = Server::start(command).await;
    assert_eq!(server.client_with(WRONG_TOKEN).get("/v1/limits").await.0, 401);
    assert_eq!(server.client_with(ADMIN_TOKEN).put_rolling("new", 3).await.0, 200);
    let (status, answer) = server.client_with(TOKEN).ask("POST", "/v1/reserve", &reserve("rpm", 1)).await;
    assert_eq!((status, &answer["allowed"]), (200, &json!(true)));
    let ended = server.stop().await;
    assert_eq!(ended.code, Some(0));

    let lines = ended.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect(line)).collect::<Vec<_>>();
    let of_requests =
        lines.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("request ")));
    let of_requests: Vec<_> = of_requests.map(|line| (line["route"].as_str(), line["status"].as_u64())).collect();
    let expected = [("/v1/limits", 401), ("/v1/admin/limits", 200), ("/v1/reserve", 200)];
    assert_eq!(of_requests, expected.map(|(route, status)| (Some(route), Some(status))));
    let ids = lines.iter().filter_map(|line| line["request_id"].as_str()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids.len(), 3, "{ids:?}");
    for secret in [TOKEN, ADMIN_TOKEN, WRONG_TOKEN] {
        assert!(!ended.stderr.contains(secret), "`{secret}` is in the log:\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let home = Home::new(CONFIG);
    let mut server = home.start().await;
    server.close_log().await;
    for _ in 0..3 {
        assert_eq!(server.client().get("/v1/no/such/route").await.0, 404, "what is logged is answered");
    }
    assert_eq!(server.client().ask("POST", "/v1/reserve", &reserve("rpm", 1)).await.0, 200);
}
