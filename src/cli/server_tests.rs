//! What the commands' HTTP client accepts, and how it tells what went wrong.

use super::*;
use serde_json::json;

fn server(token: Option<&str>) -> Result<Server, Failure> {
    Server::new(&ServerArgs { server: DEFAULT_SERVER.to_owned(), token: token.map(str::to_owned), json: false })
}

fn accepted(status: u16, body: Value) -> Result<Value, Failure> {
    Answer { status: StatusCode::from_u16(status).expect("a status"), body }.accepted()
}

#[test]
fn servers_are_named_by_plain_http_urls() {
    for (url, base) in [
        (DEFAULT_SERVER, DEFAULT_SERVER),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://proxy/tollgate/", "http://proxy/tollgate"),
    ] {
        assert_eq!(parse_base(url).as_deref(), Ok(base));
    }
}

#[test]
fn another_url_is_refused_with_what_to_write() {
    for (url, told) in [
        ("http://a b", "it is no URL; write it as `http://127.0.0.1:8080`"),
        ("/v1", "it names no server; write it as `http://127.0.0.1:8080`"),
        ("http://a?b=c", "it names no server; write it as `http://127.0.0.1:8080`"),
        ("localhost:8080", "only plain `http` is spoken; for `https` put a proxy in between"),
        ("https://a", "only plain `http` is spoken; for `https` put a proxy in between"),
        ("http://me:secret@a", "a password in the URL is not sent; name a token with `--token`"),
    ] {
        assert_eq!(parse_base(url), Err(told.to_owned()), "{url}");
    }
}

#[test]
fn a_request_carries_the_token_and_the_body() {
    let request = server(Some("secret")).expect("a good token");
    let request = request.request(Method::PUT, "/v1/a%2Fb", Some(&json!({"a": 1}))).expect("a good path");
    assert_eq!(request.uri(), "http://127.0.0.1:8080/v1/a%2Fb");
    assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
    let bare = server(Some("")).expect("no token").request(Method::GET, "/", None).expect("a good path");
    assert!(bare.headers().is_empty());
}

#[test]
fn a_token_that_no_header_carries_is_refused_without_showing_it() {
    let failure = server(Some("sec\nret")).err().expect("a bad token");
    assert_eq!(failure.to_string(), "error: `--token` holds a character that no HTTP header carries\n");
}

#[test]
fn a_success_must_be_json_of_a_tollgate_server() {
    assert_eq!(accepted(200, json!({"ok": true})), Ok(json!({"ok": true})));
    assert_eq!(
        accepted(200, Value::Null).expect_err("no JSON").to_string(),
        "error: the answer is not the JSON of a Tollgate server\nhint: name a Tollgate server with `--server`\n"
    );
    assert_eq!(
        accepted(404, json!({"title": "no such limit"})).expect_err("a 404").to_string(),
        "error: no such limit\n"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_how_to_start_one() {
    // Port 1 is never listened on.
    let args = ServerArgs { server: "http://127.0.0.1:1".to_owned(), token: None, json: false };
    let failure = Server::new(&args).expect("a good URL").get("/v1/status").await.err().expect("nobody listens");
    assert_eq!(
        failure.to_string(),
        "error: no server answers at `http://127.0.0.1:1`\n\
         hint: start one with `tollgate serve`, or name it with `--server`\n"
    );
    assert!(!failure.outcome_is_unknown());
}

#[tokio::test]
async fn a_server_that_hangs_up_leaves_the_outcome_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let args = ServerArgs { server: base.clone(), token: None, json: false };
    let server = Server::new(&args).expect("a good URL");
    let hang_up = async { drop(listener.accept().await) };
    let (answer, ()) = tokio::join!(server.get("/v1/status"), hang_up);
    let failure = answer.err().expect("no answer");
    assert_eq!(failure.to_string(), format!("error: `{base}` ended the connection without an answer\n"));
    assert!(failure.outcome_is_unknown());
}

#[tokio::test]
async fn an_answer_that_is_late_too_long_or_cut_off_leaves_the_outcome_unknown() {
    let server = server(None).expect("no token");
    let body = Limited::new(Full::new(Bytes::from_static(b"long")), 3).collect().await;
    let too_long = body.expect_err("a body above its limit");
    for (failure, told) in [
        (server.too_slow(PATIENCE), "`http://127.0.0.1:8080` did not answer within 10 s"),
        (server.unreadable(too_long.as_ref()), "the answer of `http://127.0.0.1:8080` is longer than 64 MiB"),
        (server.unreadable(&std::io::Error::other("")), "the answer of `http://127.0.0.1:8080` broke off"),
    ] {
        assert_eq!(failure.to_string(), format!("error: {told}\n"));
        assert!(failure.outcome_is_unknown());
    }
}

#[test]
fn a_path_that_no_request_carries_is_refused() {
    let refused = server(None).expect("no token").request(Method::GET, "/a b", None).expect_err("a bad path");
    let told = "error: `http://127.0.0.1:8080/a b` cannot be asked for: invalid uri character\n";
    assert_eq!(refused.to_string(), told);
}
