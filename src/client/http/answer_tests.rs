//! What the answers of servers mean, and of those that are none.

use hyper::StatusCode;
use hyper::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn id() -> LeaseId {
    LeaseId::from(7)
}

fn told(status: u16, body: impl Into<Bytes>) -> Result<Answer, Unanswered> {
    Ok(Answer { status: StatusCode::from_u16(status).expect("a status"), retry_after: None, body: body.into() })
}

fn decide(status: u16, body: &Value) -> Result<Grant, Box<Refusal>> {
    decision(id(), told(status, body.to_string()))
}

fn reason_of(status: u16, body: &Value) -> Reason {
    decide(status, body).expect_err("a refusal").reason
}

fn key() -> Key {
    Key::parse("global:llm:rpm").expect("a good key")
}

#[test]
fn every_reason_is_read_back_from_its_code() {
    let breaker = BreakerName::parse("anthropic:claude-sonnet").expect("a good name");
    for reason in [
        Reason::LeaseFinished,
        Reason::UnknownLimitKey(key()),
        Reason::NeverFits(key()),
        Reason::BreakerOpen(breaker),
        Reason::LimitDecreasing(key()),
        Reason::LimitPaused(key()),
        Reason::Denied,
        Reason::Overloaded,
        Reason::InvalidRequest("bad".to_owned()),
        Reason::BackendError("bad".to_owned()),
    ] {
        let body =
            json!({"allowed": false, "retry_after_ms": 40, "error": reason.code(), "denied": [], "detail": "bad"});
        let refusal = decide(200, &body).expect_err("a refusal");
        assert_eq!((&refusal.reason, refusal.retry_after), (&reason, Duration::from_millis(40)));
    }
}

#[test]
fn a_denial_names_the_keys_that_have_no_room() {
    let denied = json!([{"key": "global:llm:rpm", "capacity": 5, "available": 1, "retry_after_ms": 9}]);
    let body = json!({"allowed": false, "retry_after_ms": 9, "error": "", "denied": denied});
    let refusal = decide(200, &body).expect_err("a refusal");
    let expected = DeniedKey {
        key: key(),
        capacity: 5,
        available: 1,
        retry_after: Duration::from_millis(9),
        wait_at_least: Duration::ZERO,
    };
    assert_eq!(refusal.denied, [expected]);
    assert_eq!(refusal.to_string(), "reservation refused: no room in `global:llm:rpm`, retry after 9 ms");
}

#[test]
fn a_grant_names_its_lease() {
    let grant = |id: &str| json!({"allowed": true, "lease_id": id, "reserved_at_unix_ms": 5, "new_field": 1});
    let granted = decide(200, &grant(&id().to_string())).expect("a grant");
    assert_eq!(granted, Grant { lease_id: id(), reserved_at_unix_ms: 5 });
    let problem = Reason::BackendError("the server granted, and did not name the lease".to_owned());
    assert_eq!(reason_of(200, &grant(&LeaseId::from(8).to_string())), problem);
    assert_eq!(reason_of(200, &json!({"allowed": true})), problem);
}

#[test]
fn what_no_tollgate_says_leaves_the_outcome_unknown() {
    let unexpected =
        |status| Reason::BackendError(format!("the answer, with status {status}, is not that of a Tollgate server"));
    for (status, body) in [(200, "<html>"), (200, "{}"), (200, "[]"), (502, "Bad Gateway"), (404, ""), (302, "{}")] {
        let refusal = decision(id(), told(status, body)).expect_err("a refusal");
        assert_eq!(refusal.reason, unexpected(status), "{body}");
    }
    let unknown = json!({"error": "superseded", "detail": "by another"});
    let told = Reason::BackendError("the server answered `superseded`, which is not known here: by another".to_owned());
    assert_eq!(reason_of(409, &unknown), told);
    let bad_key = json!({"allowed": false, "retry_after_ms": 1, "error": "never_fits:a b", "denied": []});
    let told = Reason::BackendError("the server answered `never_fits:a b`, which is not known here".to_owned());
    assert_eq!(reason_of(200, &bad_key), told);
}

#[test]
fn errors_of_the_server_mean_what_can_be_done_about_them() {
    let problem = |code: &str| json!({"error": code, "detail": "the token is not one of this server's"});
    let text = "the token is not one of this server's".to_owned();
    for (status, code) in [(400, "invalid_request"), (401, "unauthorized"), (403, "forbidden"), (404, "not_found")] {
        assert_eq!(reason_of(status, &problem(code)), Reason::InvalidRequest(text.clone()), "{code}");
    }
    for (status, code) in [(503, "backend_error"), (408, "request_timeout")] {
        assert_eq!(reason_of(status, &problem(code)), Reason::BackendError(text.clone()), "{code}");
    }
    let mut too_many = told(429, "slow down").expect("an answer");
    assert_eq!(refused(&too_many).retry_after, Duration::from_secs(1));
    too_many.retry_after = Some(Duration::from_secs(7));
    assert_eq!(*refused(&too_many), Refusal::overloaded(Duration::from_secs(7)));
}

#[test]
fn a_completion_says_which_key_was_not_held() {
    let amounts = Amounts::used([(Key::parse("a").expect("a key"), 1), (key(), 1)]).expect("good amounts");
    let not_held = LeaseError::KeyNotHeld(key());
    let body = json!({"error": "invalid_request", "detail": not_held.to_string()}).to_string();
    let complete = |status, body: String| lease::<CompletedFields>(told(status, body), &amounts).map(drop);
    assert_eq!(complete(400, body), Err(not_held));
    let body = |code: &str, detail: &str| json!({"error": code, "detail": detail}).to_string();
    assert_eq!(complete(409, body("lease_finished", "it is over")), Err(LeaseError::Finished));
    assert_eq!(complete(400, body("invalid_request", "bad")), Err(LeaseError::Backend("bad".to_owned())));
    assert_eq!(complete(503, body("new", "")), Err(LeaseError::Backend("the server answered `new`".to_owned())));
    let unexpected = "the answer, with status 500, is not that of a Tollgate server".to_owned();
    assert_eq!(complete(500, String::new()), Err(LeaseError::Backend(unexpected)));
    assert_eq!(complete(200, json!({"ok": true, "error": ""}).to_string()), Ok(()));
}

proptest! {
    #[test]
    fn whatever_is_answered_nothing_panics(status in 100_u16..600, body: Vec<u8>, code: String, detail: String) {
        let _ = decision(id(), told(status, body));
        let problem = json!({"error": code, "detail": detail, "allowed": false});
        let refusal = decide(status, &problem).expect_err("nothing is granted");
        prop_assert!(refusal.to_string().chars().count() < 2_000);
    }
}
