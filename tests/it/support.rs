//! What tests of several features share.

#[cfg(any(feature = "server", feature = "tigerbeetle"))]
pub(crate) mod addresses;
#[cfg(feature = "server")]
pub(crate) mod client;
pub(crate) mod control;
pub(crate) mod differences;
#[cfg(feature = "server")]
pub(crate) mod last_will;
pub(crate) mod place;
pub(crate) mod remote;
#[cfg(feature = "server")]
pub(crate) mod server;
#[cfg(feature = "tigerbeetle")]
pub(crate) mod tigerbeetle;
#[cfg(feature = "server")]
pub(crate) mod wire;

use std::time::Duration;

use tollgate::policy::{Amounts, Definition, DefinitionFields, Key, KeyPattern, Label, Reserve};

/// Seconds of which no check sees the end: not even the first of the steps in which some ledgers refill a bucket.
pub(crate) const LONG: u64 = 1_000_000_000;

/// The result of `future`, which must come within `seconds`: a test that hangs fails instead.
///
/// # Panics
/// When the time is over.
pub(crate) async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(result) => result,
        Err(_) => panic!("not done within {seconds} s: the test waits for what never happens"),
    }
}

/// Lets virtual time pass.
pub(crate) async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Waits for what becomes true by itself, so many seconds at most.
pub(crate) async fn until(seconds: u64, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looks = async {
        while !is_so().await {
            sleep_ms(20).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(seconds), looks).await;
    assert!(seen.is_ok(), "{what}: not within {seconds} s");
}

pub(crate) fn rolling(key: &str, capacity: u64, window_seconds: u64) -> DefinitionFields {
    let kind = "rolling".to_owned();
    DefinitionFields { key: key.to_owned(), kind, capacity, window_seconds: Some(window_seconds), ..Default::default() }
}

pub(crate) fn concurrency(key: &str, capacity: u64, timeout_seconds: u64) -> DefinitionFields {
    let (kind, timeout_seconds) = ("concurrency".to_owned(), Some(timeout_seconds));
    DefinitionFields { key: key.to_owned(), kind, capacity, timeout_seconds, ..Default::default() }
}

pub(crate) fn bucket(key: &str, capacity: u64, refill_amount: u64, refill_seconds: u64) -> DefinitionFields {
    DefinitionFields {
        key: key.to_owned(),
        kind: "token_bucket".to_owned(),
        capacity,
        refill_amount: Some(refill_amount),
        refill_seconds: Some(refill_seconds),
        ..Default::default()
    }
}

/// One limit of each kind, named after it, that frees by itself within `seconds`.
pub(crate) fn one_of_each_kind(capacity: u64, seconds: u64) -> [DefinitionFields; 3] {
    [
        rolling("rolling", capacity, seconds),
        concurrency("concurrency", capacity, seconds),
        bucket("token_bucket", capacity, capacity, seconds),
    ]
}

pub(crate) fn checked(fields: DefinitionFields) -> Definition {
    fields.check().expect("a good definition")
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}

pub(crate) fn pattern(text: &str) -> KeyPattern {
    KeyPattern::parse(text).expect("a good pattern")
}

pub(crate) fn label(text: &str) -> Label {
    Label::parse(text).expect("a good label")
}

pub(crate) fn request(requirements: &[(&str, u64)]) -> Reserve {
    Reserve::of(requirements.iter().copied()).expect("a good request")
}

pub(crate) fn used(actuals: &[(&str, u64)]) -> Amounts {
    Amounts::used(actuals.iter().map(|(text, amount)| (key(text), *amount))).expect("good actuals")
}

#[tokio::test(start_paused = true)]
async fn what_is_done_in_time_passes() {
    assert_eq!(within(2, async { tokio::time::sleep(Duration::from_secs(1)).await }).await, ());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "not done within 1 s")]
async fn what_hangs_fails() {
    within(1, std::future::pending::<()>()).await;
}
