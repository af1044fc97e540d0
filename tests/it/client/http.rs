//! The limiter across HTTP: deadlines, tokens, servers that are none, and callers that leave.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tollgate::Wait;
use tollgate::client::{Attempt, BaseUrl, Batcher, HttpLimiter, Limiter, RemoteSettings};
use tollgate::config::Secret;
use tollgate::policy::{LeaseError, Reason, Reserve};

use super::fake::{Asked, Fake};
use super::{PATIENCE_SECONDS, attempt, end, now, remote};
use crate::support::addresses::nobody;
use crate::support::{request, within};

fn limiter(address: std::net::SocketAddr, timeout: Duration, token: Option<&str>) -> HttpLimiter {
    let mut settings = RemoteSettings::new(BaseUrl::parse(&format!("http://{address}")).expect("a good URL"));
    settings.request_timeout = timeout;
    settings.token = token.map(|token| Secret::parse(token).expect("a good token"));
    HttpLimiter::new(&settings).expect("it can be asked")
}

fn granted(lease_id: &Value) -> Value {
    json!({"allowed": true, "lease_id": lease_id, "reserved_at_unix_ms": 1, "retry_after_ms": 0, "error": "", "denied": []})
}

/// Grants and completes whatever it is asked.
fn yes(asked: &Asked) -> (u16, Vec<u8>) {
    let items = || asked.body["requests"].as_array().expect("a batch");
    let body = match asked.path.as_str() {
        "/v1/reserve" | "/v1/acquire" => granted(&asked.body["lease_id"]),
        "/v1/reserve/batch" => {
            json!({"results": items().iter().map(|item| granted(&item["lease_id"])).collect::<Vec<_>>()})
        }
        "/v1/complete" => json!({"ok": true, "error": ""}),
        "/v1/complete/batch" => {
            json!({"results": items().iter().map(|_| json!({"ok": true, "error": ""})).collect::<Vec<_>>()})
        }
        other => panic!("{other} was asked"),
    };
    (200, body.to_string().into_bytes())
}

async fn reason(limiter: &HttpLimiter, attempt: Attempt) -> Reason {
    within(PATIENCE_SECONDS, limiter.reserve(attempt)).await.expect_err("a refusal").reason
}

#[tokio::test]
async fn an_answer_that_is_late_or_missing_leaves_the_outcome_unknown() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("an address");
    let patient = limiter(address, Duration::from_secs(60), None);
    let start = now();
    let told = reason(&patient, attempt(&[("rpm", 1)]).by(start + Duration::from_millis(500))).await;
    assert!(
        matches!(&told, Reason::BackendError(text) if text.starts_with(&format!("`http://{address}` did not answer within "))),
        "{told:?}"
    );
    assert!(Duration::from_millis(499) <= start.elapsed(), "its deadline, and not the timeout");
    let told = reason(&patient, attempt(&[("rpm", 1)]).by(start)).await;
    assert_eq!(told, Reason::BackendError("the deadline had passed before the request was sent".to_owned()));
    let short = limiter(address, Duration::from_millis(50), None);
    let told = Reason::BackendError(format!("`http://{address}` did not answer within 50 ms"));
    assert_eq!(reason(&short, attempt(&[("rpm", 1)])).await, told);
    let error = short.complete(end(tollgate::policy::LeaseId::generate())).await;
    assert_eq!(error, Err(LeaseError::Backend(format!("`http://{address}` did not answer within 50 ms"))));
    let deadline = now() + Duration::from_millis(80);
    let late = patient.acquire(attempt(&[("rpm", 1)]).by(deadline), Wait::at_most(Duration::from_secs(60))).await;
    assert!(matches!(late.expect_err("late").reason, Reason::BackendError(_)));
    let (_nobody, address) = nobody();
    let told = Reason::BackendError(format!("no server answers at `http://{address}`"));
    assert_eq!(reason(&limiter(address, Duration::from_secs(5), None), attempt(&[("rpm", 1)])).await, told);
}

#[tokio::test]
async fn what_is_no_tollgate_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{}", " ".repeat(5 << 20));
    let answers = [
        "",
        "HTTP/1.1 502 Bad\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        &endless,
    ];
    let answers = answers.map(str::to_owned);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).await.expect("a request");
            let _ = stream.write_all(answer.as_bytes()).await; // It may hang up before the end.
        }
    });
    let limiter = limiter(address, Duration::from_secs(20), None);
    for problem in [
        format!("`http://{address}` ended the connection without an answer"),
        "the answer, with status 502, is not that of a Tollgate server".to_owned(),
        format!("the answer of `http://{address}` broke off"),
        format!("the answer of `http://{address}` is longer than 4 MiB"),
    ] {
        assert_eq!(reason(&limiter, attempt(&[("rpm", 1)])).await, Reason::BackendError(problem));
    }
}

#[tokio::test]
async fn a_token_goes_with_every_request_and_a_wrong_one_is_no_reason_to_try_again() {
    let fake = Fake::start(yes).await;
    let with_token = limiter(fake.address, Duration::from_secs(20), Some("0123456789abcdef"));
    with_token.reserve(attempt(&[("rpm", 1)])).await.expect("it is granted");
    assert_eq!(fake.asked()[0].authorization.as_deref(), Some("Bearer 0123456789abcdef"));
    assert!(!format!("{with_token:?}").contains("0123456789abcdef"));

    let detail = "the token is not one of this server's";
    let body = json!({"type": "about:blank", "status": 401, "detail": detail, "error": "unauthorized"}).to_string();
    let fake = Fake::start(move |_| (401, body.clone().into_bytes())).await;
    let told = reason(&remote(fake.address), attempt(&[("rpm", 1)])).await;
    assert_eq!(told, Reason::InvalidRequest(detail.to_owned()));
}

#[tokio::test]
async fn a_sum_that_no_number_holds_goes_as_several() {
    let fake = Fake::start(yes).await;
    let asked: Attempt = request(&[("a", u64::MAX), ("a", u64::MAX), ("b", 1), ("a", 7)]).into();
    remote(fake.address).reserve(asked).await.expect("it is granted");
    let sent = &fake.asked()[0].body["requirements"];
    let amounts: Vec<_> =
        sent.as_array().expect("a list").iter().map(|item| (&item["key"], item["amount"].as_u64())).collect();
    let (a, b, most) = (&json!("a"), &json!("b"), Some(u64::MAX));
    assert_eq!(amounts, [(a, most), (a, most), (a, Some(7)), (b, Some(1))]);
}

/// The completion of `asked` with nothing used.
fn is_given_back(asked: &Asked, request: &Reserve) -> bool {
    let item = &asked.body["requests"][0];
    asked.path == "/v1/complete/batch"
        && item["lease_id"] == request.lease_id.to_string()
        && item["actuals"] == json!([{"key": "rpm", "amount": 0}])
}

#[tokio::test]
async fn a_grant_on_its_way_to_one_who_has_gone_is_given_back() {
    for kind in ["reserve", "batch", "acquire"] {
        let fake = Fake::start_with(0, yes).await;
        let limiter = remote(fake.address);
        let asked = attempt(&[("rpm", 5)]);
        let task = tokio::spawn({
            let (limiter, asked) = (limiter.clone(), asked.clone());
            async move {
                match kind {
                    "reserve" => drop(limiter.reserve(asked).await),
                    "batch" => drop(limiter.reserve_batch(vec![asked]).await),
                    _ => drop(limiter.acquire(asked, Wait::at_most(Duration::from_secs(9))).await),
                }
            }
        });
        fake.until_asked(1).await;
        task.abort();
        assert!(task.await.expect_err("it was aborted").is_cancelled());
        fake.let_answer(9);
        let calls = fake.until_asked(2).await;
        assert!(is_given_back(&calls[1], &asked.request), "{kind}: {calls:?}");
    }
}

#[tokio::test]
async fn a_completion_goes_on_without_its_caller() {
    let fake = Fake::start_with(0, yes).await;
    let limiter = remote(fake.address);
    let mut completing = limiter.complete(end(tollgate::policy::LeaseId::generate()));
    assert!(futures_util::poll!(&mut completing).is_pending());
    drop(completing);
    assert_eq!(fake.until_asked(1).await[0].path, "/v1/complete");
}

#[tokio::test]
async fn what_is_given_back_in_vain_is_given_back_again() {
    let times = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start_with(0, move |asked| {
        let is_first = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1;
        if is_first { (503, b"busy".to_vec()) } else { yes(asked) }
    })
    .await;
    let limiter = remote(fake.address);
    let asked = attempt(&[("rpm", 5)]);
    let mut reserving = limiter.reserve(asked.clone());
    assert!(futures_util::poll!(&mut reserving).is_pending());
    drop(reserving);
    fake.let_answer(9);
    let calls = fake.until_asked(3).await;
    assert!(calls[1..].iter().all(|call| is_given_back(call, &asked.request)), "{calls:?}");
}

#[tokio::test]
async fn the_earliest_deadline_of_a_batch_is_that_of_all() {
    let fake = Fake::start_with(1, yes).await;
    let batcher =
        Batcher::new(std::sync::Arc::new(limiter(fake.address, Duration::from_secs(60), None)), &Default::default());
    batcher.reserve(attempt(&[("rpm", 1)])).await.expect("it is granted");
    let start = now();
    let attempts = vec![attempt(&[("rpm", 1)]), attempt(&[("rpm", 1)]).by(start + Duration::from_millis(80))];
    let answers = within(PATIENCE_SECONDS, batcher.reserve_batch(attempts)).await;
    assert!(answers.iter().all(|answer| matches!(answer.as_ref().expect_err("late").reason, Reason::BackendError(_))));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_batch_that_is_answered_in_another_number_is_not_believed() {
    let fake = Fake::start(|_| (200, br#"{"results":[]}"#.to_vec())).await;
    let limiter = remote(fake.address);
    let problem = "the server gave 0 answers to a batch of 2".to_owned();
    let answers = limiter.reserve_batch(vec![attempt(&[("a", 1)]), attempt(&[("a", 1)])]).await;
    let unknown = Reason::BackendError(problem.clone());
    assert!(answers.len() == 2 && answers.iter().all(|answer| answer.as_ref().expect_err("unknown").reason == unknown));
    let id = tollgate::policy::LeaseId::generate();
    let ended = limiter.complete_batch(vec![end(id), end(id)]).await;
    assert_eq!(ended, vec![Err(LeaseError::Backend(problem)); 2]);
}
