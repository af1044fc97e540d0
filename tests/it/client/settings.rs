//! From `[client]` to a limiter.

use std::path::Path;
use std::time::Duration;

use tollgate::client::{BatchSettings, ClientMode, LimitsSource, LlmCall, PromptBytes, connect, llm_requirements};
use tollgate::config::{Config, Environment};
use tollgate::policy::{Reason, Reserve};

use super::{attempt, end};

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let environment = Environment::from_pairs(variables.iter().copied());
    let base_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    Config::parse(text, "t.toml", base_dir, &environment).map_err(|errors| errors.to_string())
}

fn good(text: &str) -> Config {
    read(text, &[]).expect("a good configuration")
}

#[track_caller]
fn check_problem(text: &str, problem: &str) {
    let shown = read(text, &[]).expect_err("a mistake");
    assert!(shown.contains(problem), "{shown}");
}

const SLOTS: &str = r#"
[[client.limits]]
key = "slots"
kind = "concurrency"
capacity = 1
timeout_seconds = 60
"#;

#[tokio::test]
async fn without_a_word_everything_is_granted() {
    let client = connect(&good("").client).await.expect("nothing to connect to");
    client.limiter().reserve(attempt(&[("anything", u64::MAX)])).await.expect("nothing is limited");
    client.shutdown().await;
}

#[tokio::test]
async fn embedded_limits_are_kept_in_this_process() {
    let config = good(&format!("[client]\nmode = \"embedded\"\n{SLOTS}"));
    assert!(config.limits.is_empty(), "they are not the server's");
    let client = connect(&config.client).await.expect("it starts");
    let limiter = client.limiter();
    let grant = limiter.reserve(attempt(&[("slots", 1)])).await.expect("there is room");
    assert_eq!(limiter.reserve(attempt(&[("slots", 1)])).await.expect_err("taken").reason, Reason::Denied);
    limiter.complete(end(grant.lease_id)).await.expect("it is held");
    client.shutdown().await;
    assert_eq!(limiter.reserve(attempt(&[("slots", 1)])).await.expect_err("over").reason, Reason::Overloaded);
}

#[tokio::test]
async fn embedded_limits_may_come_from_a_file() {
    let config = good("[client]\nmode = \"embedded\"\nlimits_path = \"config/limits.json\"");
    let client = connect(&config.client).await.expect("it starts");
    let call = LlmCall { provider: "openai", model: "gpt-4o", tenant: None, prompt: "Hello", max_output_tokens: 2_048 };
    let amounts = llm_requirements(&call, &PromptBytes).expect("good names");
    let rpm_and_slots = amounts.iter().filter(|amount| !amount.key.as_str().ends_with(":tpm")).cloned().collect();
    client.limiter().reserve(Reserve::new(rpm_and_slots).into()).await.expect("there is room");

    let missing = good("[client]\nmode = \"embedded\"\nlimits_path = \"config/none.json\"");
    let error = connect(&missing.client).await.expect_err("no such file").to_string();
    assert!(error.contains("none.json: is not there"), "{error}");
}

#[test]
fn exactly_one_source_of_embedded_limits() {
    let (embedded, file) = ("[client]\nmode = \"embedded\"\n", "limits_path = \"limits.json\"\n");
    check_problem(embedded, "`client.limits` is missing");
    check_problem(embedded, "write `[[client.limits]]` tables, or name a file with `client.limits_path`");
    let both = format!("{embedded}{file}{SLOTS}");
    check_problem(&both, "`client.limits_path` stands beside `client.limits`");
    check_problem(&both, "keep one of the two");
    let ClientMode::Embedded(settings) = good(&format!("{embedded}{file}")).client.mode else { panic!("embedded") };
    assert!(matches!(settings.limits, LimitsSource::File(path) if path.ends_with("limits.json")));
    check_problem(&format!("{embedded}limits_path = \"\""), "`client.limits_path` is empty");
}

#[test]
fn mistakes_in_embedded_limits_name_their_place() {
    let bad = SLOTS.replace("capacity = 1", "capacity = 0");
    check_problem(&format!("[client]\nmode = \"embedded\"\n{bad}"), "`client.limits[0].capacity` is 0");
    check_problem(&format!("{SLOTS}{SLOTS}"), "`client.limits[1].key` is `slots`, the same as `client.limits[0].key`");
}

#[test]
fn a_remote_host_names_its_server() {
    let mode = "[client]\nmode = \"remote\"\n";
    check_problem(mode, "`client.base_url` is missing");
    check_problem(mode, "name the server, for example `http://127.0.0.1:8080`");
    let https = format!("{mode}base_url = \"https://tollgate\"");
    check_problem(&https, "`client.base_url` begins with `https`, which is not spoken");
    let text = format!("{mode}base_url = \"http://tollgate:80/\"\nrequest_timeout_ms = 500\n");
    let ClientMode::Remote(settings) = good(&text).client.mode else { panic!("remote") };
    assert_eq!((settings.base_url.as_str(), settings.token.is_some()), ("http://tollgate:80", false));
    assert_eq!(settings.request_timeout, Duration::from_millis(500));
    let variables = [("TOLLGATE_TOKEN", "0123456789abcdef"), ("TOLLGATE_CLIENT_BASE_URL", "http://other")];
    let ClientMode::Remote(settings) = read(mode, &variables).expect("good variables").client.mode else {
        panic!("remote")
    };
    assert_eq!(settings.token.expect("a token").expose(), "0123456789abcdef");
    assert_eq!(settings.base_url.as_str(), "http://other");
}

#[test]
fn how_requests_travel_together_is_bounded() {
    let client = good("[client]\nmax_output_tokens = 100\n[client.batch]\nsize = 1\nflush_ms = 5\nworkers = 2").client;
    let batch = BatchSettings { size: 1, flush: Duration::from_millis(5), workers: 2 };
    assert_eq!((client.batch, client.max_output_tokens), (batch, 100));
    check_problem("[client.batch]\nsize = 257", "`client.batch.size` is 257");
    check_problem("[client]\nmode = \"local\"", "use `disabled` or `remote` or `embedded`");
    check_problem("[client]\nbatch_size = 3", "`client.batch_size` is no setting");
}

#[cfg(not(feature = "http-client"))]
#[tokio::test]
async fn a_build_without_the_client_says_how_to_get_it() {
    let config = good("[client]\nmode = \"remote\"\nbase_url = \"http://tollgate\"");
    let error = connect(&config.client).await.expect_err("not in this build").to_string();
    assert_eq!(
        error,
        "`client.mode` is `remote`, which this build does not have; build with `--features http-client`, or use \
         `embedded`"
    );
}

#[cfg(all(feature = "server", feature = "http-client"))]
#[tokio::test]
async fn a_remote_limiter_is_batched_unless_its_batches_are_of_one() {
    use super::PATIENCE_SECONDS;
    use crate::support::within;
    let tollgate = super::tollgate().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let served = tollgate.clone();
    tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    for size in [1, 128] {
        let text =
            format!("[client]\nmode = \"remote\"\nbase_url = \"http://{address}\"\n[client.batch]\nsize = {size}");
        let client = connect(&good(&text).client).await.expect("it can be asked");
        let limiter = client.limiter();
        let grant = within(PATIENCE_SECONDS, limiter.reserve(attempt(&[("slots", 2)]))).await.expect("there is room");
        limiter.complete(end(grant.lease_id)).await.expect("it is held");
        client.shutdown().await;
        let is_over = limiter.reserve(attempt(&[("rpm", 1)])).await.is_err();
        assert_eq!(is_over, size != 1, "a batcher that was shut down takes no more");
    }
}
