//! Reserve, peek, complete, renew, batches and leases.

use serde_json::{Value, json};

use super::server::{Server, concurrency, lease_id, reserve, rolling};

#[tokio::test]
async fn a_reservation_is_granted_repeated_and_completed() {
    let server = Server::start(&[concurrency("slots", 2), rolling("tokens", 100)]).await;
    let id = lease_id();
    let request = json!({"lease_id": id, "job_id": "job", "tenant": "acme",
        "requirements": [{"key": "slots", "amount": 1}, {"key": "tokens", "amount": 60}]});
    let granted = server.post("/v1/reserve", &request).await.done();
    assert!(granted["reserved_at_unix_ms"].as_u64().is_some_and(|at| 1_600_000_000_000 < at));
    let expected = json!({"allowed": true, "lease_id": id, "reserved_at_unix_ms": granted["reserved_at_unix_ms"],
        "retry_after_ms": 0, "error": "", "denied": []});
    assert_eq!(granted, expected);
    assert_eq!(server.post("/v1/reserve", &request).await.done(), granted);

    let lease = server.get(&format!("/v1/leases/{id}")).await.done();
    assert_eq!((&lease["state"], &lease["job_id"], &lease["tenant"]), (&json!("live"), &json!("job"), &json!("acme")));
    let holds = lease["holds"].as_array().expect("holds");
    assert_eq!((&holds[1]["key"], &holds[1]["amount"]), (&json!("tokens"), &json!(60)));
    assert!(holds.iter().all(|hold| (1..=60_000).contains(&hold["expires_in_ms"].as_u64().unwrap())), "{lease}");

    let actuals = json!({"lease_id": id, "job_id": "job", "actuals": [{"key": "tokens", "amount": 10}]});
    assert_eq!(server.post("/v1/complete", &actuals).await.done(), json!({"ok": true, "error": ""}));
    assert_eq!(server.post("/v1/complete", &json!({"lease_id": id})).await.done(), json!({"ok": true, "error": ""}));
    assert_eq!(server.get(&format!("/v1/leases/{id}")).await.done()["state"], "finished");
    assert_eq!(server.get("/v1/limits/tokens").await.done()["used"], 10);
    let finished = server.post("/v1/reserve", &request).await.done();
    assert_eq!((&finished["allowed"], &finished["error"]), (&json!(false), &json!("lease_finished")));
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer_that_says_why_and_when() {
    let server = Server::start(&[rolling("tokens", 100)]).await;
    assert_eq!(server.post("/v1/reserve", &reserve("tokens", 60)).await.done()["allowed"], true);
    let answer = server.post("/v1/reserve", &reserve("tokens", 60)).await;
    assert_eq!(answer.header("retry-after"), "");
    let denied = answer.done();
    let wait = denied["retry_after_ms"].as_u64().expect("a number");
    assert!((50_000..=60_000).contains(&wait), "{denied}");
    let key = json!({"key": "tokens", "capacity": 100, "available": 40, "retry_after_ms": wait});
    assert_eq!(denied, json!({"allowed": false, "retry_after_ms": wait, "error": "", "denied": [key]}));
    let code =
        async |key: &str, amount| server.post("/v1/reserve", &reserve(key, amount)).await.done()["error"].clone();
    assert_eq!(code("tokens", 101).await, "never_fits:tokens");
    assert_eq!(code("nobody", 1).await, "unknown_limit_key:nobody");
    server.stop().await;
}

#[tokio::test]
async fn a_peek_charges_nothing() {
    let server = Server::start(&[rolling("tokens", 100)]).await;
    let peek = async |amount: u64| {
        let requirements = json!({"requirements": [{"key": "tokens", "amount": amount}]});
        server.post("/v1/peek", &requirements).await.done()
    };
    let fits = json!({"allowed": true, "retry_after_ms": 0, "error": "", "denied": []});
    assert_eq!((peek(100).await, peek(0).await), (fits.clone(), fits));
    assert_eq!(peek(101).await["error"], "never_fits:tokens");
    assert_eq!(server.get("/v1/limits/tokens").await.done()["used"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_lease_is_renewed_while_it_lives() {
    let server = Server::start(&[concurrency("slots", 1)]).await;
    let request = reserve("slots", 1);
    server.post("/v1/reserve", &request).await.done();
    let id = request["lease_id"].clone();
    let path = format!("/v1/leases/{}", id.as_str().expect("text"));
    let lease = server.get(&path).await.done();
    assert!((1..=60_000).contains(&lease["renew_within_ms"].as_u64().expect("it has a slot")), "{lease}");
    let renewed = server.post("/v1/renew", &json!({"lease_id": id, "timeout_seconds": 30})).await.done();
    assert!(renewed["ok"] == true && (1..=60_000).contains(&renewed["expires_in_ms"].as_u64().unwrap()), "{renewed}");
    server.post("/v1/complete", &json!({"lease_id": id})).await.done();
    assert!(server.get(&path).await.done()["renew_within_ms"].is_null());
    assert_eq!(
        server.post("/v1/renew", &json!({"lease_id": id})).await.problem(409),
        ("lease_finished".to_owned(), "the lease has ended; reserve again under a new `lease_id`".to_owned())
    );
    server.stop().await;
}

#[tokio::test]
async fn a_batch_answers_in_order_and_a_bad_item_spoils_no_other() {
    let server = Server::start(&[rolling("tokens", 100)]).await;
    let good = reserve("tokens", 60);
    let again = json!({"lease_id": good["lease_id"], "requirements": [{"key": "tokens", "amount": 1}]});
    let zero = reserve("tokens", 0);
    let requests = json!({"requests": [good, 5, zero, {"lease_id": "x", "nonsense": 1}, again, reserve("tokens", 60),
        reserve("tokens", 40)]});
    let answer = server.post("/v1/reserve/batch", &requests).await.done();
    let results = answer["results"].as_array().expect("results");
    let brief: Vec<_> =
        results.iter().map(|result| (result["allowed"] == true, result["error"].as_str().unwrap())).collect();
    let invalid = (false, "invalid_request");
    assert_eq!(brief, [(true, ""), invalid, invalid, invalid, invalid, (false, ""), (true, "")]);
    assert_eq!(results[0]["lease_id"], requests["requests"][0]["lease_id"]);
    let bad = |at: usize| results[at]["detail"].as_str().expect("a detail");
    assert_eq!(
        results[2],
        json!({"allowed": false, "retry_after_ms": 0, "error": "invalid_request", "denied": [], "detail":
            "`requirements[0].amount` is 0; use at least 1, or `peek` to look without reserving"})
    );
    assert!(bad(1).contains("invalid type: integer `5`") && bad(3).contains("unknown field `nonsense`"), "{answer}");
    assert!(bad(4).contains("lease"), "{answer}");

    let completed = server
        .post(
            "/v1/complete/batch",
            &json!({"requests": [
                {"lease_id": results[0]["lease_id"]}, {"lease_id": 1}, {"lease_id": lease_id(), "actuals": []},
                {"lease_id": results[6]["lease_id"], "actuals": [{"key": "other", "amount": 1}]},
            ]}),
        )
        .await
        .done();
    let oks: Vec<_> = completed["results"].as_array().unwrap().iter().map(|result| result["ok"] == true).collect();
    assert_eq!(oks, [true, false, true, false]);
    assert_eq!(completed["results"][0], json!({"ok": true, "error": ""}));
    assert_eq!(
        completed["results"][3],
        json!({"ok": false, "error": "invalid_request", "detail":
            "the lease does not hold `other`; name only keys that were reserved"})
    );
    server.stop().await;
}

#[tokio::test]
async fn a_batch_has_1_to_256_items() {
    let server = Server::start(&[rolling("tokens", 1000)]).await;
    let batch = |items: usize| json!({"requests": (0..items).map(|_| reserve("tokens", 1)).collect::<Vec<Value>>()});
    let full = server.post("/v1/reserve/batch", &batch(256)).await.done();
    assert!(full["results"].as_array().unwrap().iter().all(|result| result["allowed"] == true));
    for (items, detail) in
        [(0, "`requests` has 0 items; give 1 to 256"), (257, "`requests` has 257 items; give 1 to 256")]
    {
        for path in ["/v1/reserve/batch", "/v1/complete/batch"] {
            let (code, told) = server.post(path, &batch(items)).await.problem(400);
            assert_eq!((code.as_str(), told.as_str()), ("invalid_request", detail));
        }
    }
    server.stop().await;
}
