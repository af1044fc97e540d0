//! Circuit breakers over HTTP: in the round trip of a reservation, by permits, and as a person overrides them.

use serde_json::{Value, json};
use tollgate::Tollgate;
use tollgate::api::ServeOptions;
use tollgate::policy::{BreakerFields, BreakerName, BreakerSettings};

use super::server::{Answer, Server, lease_id, rolling};

/// A server over `tokens` (100) whose breaker `up/stream` opens at the second failure, for a minute.
async fn start() -> Server {
    let fields = BreakerFields { failure_threshold: Some(2), jitter_percent: Some(0), ..BreakerFields::default() };
    let settings = fields.check(&BreakerSettings::default()).expect("good settings");
    let name = BreakerName::parse("up/stream").expect("a good name");
    let limit = serde_json::from_value(rolling("tokens", 100)).expect("a limit");
    let builder = Tollgate::builder().breaker(name, settings).limit_fields(limit);
    Server::of(builder.start().await.expect("it starts"), ServeOptions::default()).await
}

fn through(breaker: &str) -> Value {
    json!({"lease_id": lease_id(), "requirements": [{"key": "tokens", "amount": 1}], "breaker": breaker})
}

async fn view(server: &Server) -> Value {
    server.get("/v1/breakers/up%2Fstream").await.done()
}

/// Reserves through `up/stream`, and completes with `outcome`.
async fn call(server: &Server, outcome: &Value) -> Value {
    let request = through("up/stream");
    assert_eq!(server.post("/v1/reserve", &request).await.done()["allowed"], true);
    let complete = json!({"lease_id": request["lease_id"], "outcome": outcome});
    let completed = server.post("/v1/complete", &complete).await.done();
    assert_eq!(server.post("/v1/complete", &complete).await.done(), completed, "told again, it counts once");
    completed
}

#[tokio::test]
async fn limits_and_breaker_take_one_round_trip() {
    let server = start().await;
    let failed = json!({"status": 200, "error": "stream_cut", "latency_ms": 1500});
    assert_eq!(call(&server, &failed).await, json!({"ok": true, "error": ""}));
    assert_eq!(
        (&view(&server).await["state"], &view(&server).await["consecutive_failures"]),
        (&json!("closed"), &json!(1))
    );
    call(&server, &json!({"status": 529, "provider": "anthropic", "headers": {"Retry-After": "90"}})).await;
    let opened = view(&server).await;
    assert_eq!((&opened["state"], &opened["cause"]), (&json!("open"), &json!("consecutive_failures")));
    let wait = opened["retry_after_ms"].as_u64().expect("a number");
    assert!((80_000..=90_000).contains(&wait), "not before the provider said: {opened}");

    let wait_for = json!({"max_wait_ms": 1000});
    for (path, extra) in [("/v1/reserve", None), ("/v1/acquire", Some(&wait_for))] {
        let mut request = through("up/stream");
        request
            .as_object_mut()
            .expect("an object")
            .extend(extra.and_then(Value::as_object).cloned().into_iter().flatten());
        let refused = server.post(path, &request).await.done();
        assert_eq!((&refused["allowed"], &refused["error"]), (&json!(false), &json!("breaker_open:up/stream")));
        assert!((80_000..=90_000).contains(&refused["retry_after_ms"].as_u64().expect("a number")), "{refused}");
    }
    let batch = server.post("/v1/reserve/batch", &json!({"requests": [through("up/stream"), through("other")]})).await;
    let results = batch.done();
    assert_eq!(results["results"][0]["error"], "breaker_open:up/stream");
    assert_eq!(results["results"][1]["allowed"], true, "a breaker that is not there is made");
    assert_eq!(server.get("/v1/breakers/other").await.done()["state"], "closed");
    server.stop().await;
}

#[tokio::test]
async fn a_batch_of_completions_tells_outcomes_too() {
    let server = start().await;
    let requests = [through("up/stream"), through("up/stream")];
    for request in &requests {
        assert_eq!(server.post("/v1/reserve", request).await.done()["allowed"], true);
    }
    let complete = |request: &Value| json!({"lease_id": request["lease_id"], "outcome": {"error": "timeout"}});
    let batch = json!({"requests": requests.each_ref().map(complete)});
    let ok = json!({"ok": true, "error": ""});
    assert_eq!(server.post("/v1/complete/batch", &batch).await.done(), json!({"results": [ok, ok]}));
    assert_eq!(view(&server).await["state"], "open");
    server.stop().await;
}

#[tokio::test]
async fn a_429_pauses_the_limit_and_nonsense_does_not() {
    let server = start().await;
    let nonsense = json!({"status": 429, "headers": {"retry-after": "-5", "x-other": "x".repeat(100_000)}});
    call(&server, &nonsense).await;
    assert_eq!(server.get("/v1/limits/tokens").await.done()["paused_until"], Value::Null);
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("\ntollgate_signals_ignored_total 1\n"), "{metrics}");
    call(&server, &json!({"status": 429, "retry_after_ms": 60_000})).await;
    assert!(server.get("/v1/limits/tokens").await.done()["paused_until"].is_u64());
    let refused = server.post("/v1/reserve", &through("up/stream")).await.done();
    assert_eq!(refused["error"], "limit_paused:tokens");
    assert_eq!(view(&server).await["consecutive_failures"], 0, "neutral");
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_reserves_nothing_takes_a_permit() {
    let server = start().await;
    let enter = async || server.post("/v1/breakers/up%2Fstream/enter", &json!({})).await.done();
    let record = async |permit: &Value, outcome: Value| {
        let body = json!({"permit": permit, "outcome": outcome});
        server.post("/v1/breakers/up%2Fstream/record", &body).await.done()
    };
    let entered = enter().await;
    assert_eq!((&entered["allowed"], &entered["error"]), (&json!(true), &json!("")));
    let counted = |counted: bool| json!({"ok": true, "counted": counted});
    assert_eq!(record(&entered["permit"], json!({"error": "connect"})).await, counted(true));
    assert_eq!(record(&entered["permit"], json!({"error": "connect"})).await, counted(false), "twice");
    assert_eq!(record(&json!("0123456789abcdef"), json!({"status": 500})).await, counted(false), "of nobody");
    assert_eq!(view(&server).await["consecutive_failures"], 1);
    let stale = enter().await["permit"].clone();
    let last = enter().await["permit"].clone();
    record(&last, json!({"status": 503})).await;
    let refused = enter().await;
    assert_eq!((&refused["allowed"], &refused["permit"]), (&json!(false), &Value::Null));
    assert_eq!(refused["error"], "breaker_open:up/stream");
    assert!((1..=60_000).contains(&refused["retry_after_ms"].as_u64().expect("a number")), "{refused}");
    let before = view(&server).await;
    assert_eq!(record(&stale, json!({"status": 200})).await, counted(true), "it was waited for");
    let after = view(&server).await;
    assert_eq!(
        (&after["state"], &after["generation"]),
        (&before["state"], &before["generation"]),
        "and changes nothing"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_person_decides_in_place_of_the_breaker() {
    let server = start().await;
    let put = async |decision: &str| -> Answer {
        server.put("/v1/admin/breakers/up%2Fstream", &json!({"override": decision})).await
    };
    let allowed = async || server.post("/v1/reserve", &through("up/stream")).await.done()["allowed"].clone();
    for (decision, is_allowed) in [("forced_open", false), ("forced_closed", true), ("disabled", true)] {
        assert_eq!(put(decision).await.done()["override"], decision);
        assert_eq!(allowed().await, is_allowed, "{decision}");
    }
    let reset = put("none").await.done();
    assert_eq!(
        (&reset["override"], &reset["state"], &reset["cause"]),
        (&Value::Null, &json!("closed"), &json!("reset"))
    );
    let told = "`override` is refused: unknown variant `tripped`, expected one of `forced_open`, `forced_closed`, ";
    assert!(put("tripped").await.problem(400).1.starts_with(told));
    server.stop().await;
}

#[tokio::test]
async fn breakers_are_listed_page_by_page() {
    let server = start().await;
    for breaker in ["a", "b", "c"] {
        server.post(&format!("/v1/breakers/{breaker}/enter"), &json!({})).await.done();
    }
    let names = |page: &Value| -> Vec<String> {
        let breakers = page["breakers"].as_array().expect("breakers");
        breakers.iter().map(|breaker| breaker["name"].as_str().expect("a name").to_owned()).collect()
    };
    let first = server.get("/v1/breakers?limit=3").await.done();
    assert_eq!((names(&first), &first["next_cursor"]), (vec!["a".into(), "b".into(), "c".into()], &json!("c")));
    let second = server.get("/v1/breakers?limit=3&cursor=c").await.done();
    assert_eq!((names(&second), &second["next_cursor"]), (vec!["up/stream".into()], &Value::Null));
    let (_, detail) = server.get("/v1/breakers?limit=0").await.problem(400);
    assert_eq!(detail, "`limit` is `0`; use 1 to 1000");
    let (_, detail) = server.get("/v1/breakers?cursor=%7Bx%7D").await.problem(400);
    assert!(detail.starts_with("`cursor` "), "{detail}");
    let metrics = server.get("/metrics").await.text;
    for line in
        ["tollgate_breaker_state{breaker=\"a\",state=\"closed\"} 1", "tollgate_breaker_opened_total{breaker=\"a\"} 0"]
    {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_breaker_that_is_not_there_is_said_to_be_unknown() {
    let server = start().await;
    let told = "no breaker `nobody` is known; it is made by its first call, or by `[[breakers]]`";
    let not_found = ("not_found".to_owned(), told.to_owned());
    let record = json!({"permit": "0123456789abcdef", "outcome": {"status": 200}});
    assert_eq!(server.get("/v1/breakers/nobody").await.problem(404), not_found);
    assert_eq!(server.post("/v1/breakers/nobody/record", &record).await.problem(404), not_found);
    let put = server.put("/v1/admin/breakers/nobody", &json!({"override": "none"})).await;
    assert_eq!(put.problem(404), not_found);
    server.stop().await;
}

#[tokio::test]
async fn every_mistake_names_its_field() {
    let server = start().await;
    let complete = |outcome: Value| json!({"lease_id": lease_id(), "outcome": outcome});
    let providers = "use one of `openai`, `anthropic`, `gemini`, `azure_openai`, `other`";
    let cases = [
        (
            "/v1/complete",
            complete(json!({})),
            "`outcome` says neither `status` nor `error`; give the HTTP `status`, or an \
          `error` if there was none, or both if the answer broke off",
        ),
        (
            "/v1/complete",
            complete(json!({"status": 99})),
            "`outcome.status` is 99, which is no HTTP status; use 100 to 599",
        ),
        (
            "/v1/complete",
            complete(json!({"status": 70_000})),
            "`outcome.status` is refused: invalid value: integer `70000`, \
          expected u16 ",
        ),
        (
            "/v1/complete",
            complete(json!({"error": "tired"})),
            "`outcome.error` is refused: unknown variant `tired`, expected \
          one of `timeout`, `connect`, ",
        ),
        ("/v1/complete", complete(json!({"status": 200, "latency_ms": -1})), "`outcome.latency_ms` is refused: "),
        (
            "/v1/complete",
            complete(json!({"status": 200, "color": 1})),
            "`outcome.color` is refused: unknown field `color`",
        ),
        ("/v1/reserve", through("a b"), "`breaker` "),
        ("/v1/reserve", through(""), "`breaker` "),
        ("/v1/breakers/a/enter", json!({"now": true}), "`now` is refused: unknown field `now`"),
        ("/v1/breakers/a/record", json!({"outcome": {"status": 200}}), "`permit` is missing"),
        (
            "/v1/breakers/a/record",
            json!({"permit": "xyz", "outcome": {"status": 200}}),
            "`permit` is `xyz`, which is no permit; send the `permit` that `enter` answered",
        ),
        ("/v1/breakers/%7Bx%7D/enter", json!({}), "`name` "),
    ];
    for (path, body, told) in cases {
        let (code, detail) = server.post(path, &body).await.problem(400);
        assert_eq!(code, "invalid_request");
        assert!(detail.starts_with(told), "{told}\nis not how this begins:\n{detail}");
    }
    let misspelt = complete(json!({"status": 200, "provider": "antropic"}));
    let (_, detail) = server.post("/v1/complete", &misspelt).await.problem(400);
    assert_eq!(detail, format!("`outcome.provider` is `antropic`, which is none that is known; {providers}"));
    server.stop().await;
}
