//! What tests of several features share.

#[cfg(feature = "server")]
pub(crate) mod client;
#[cfg(feature = "server")]
pub(crate) mod server;
#[cfg(feature = "server")]
pub(crate) mod wire;

use std::time::Duration;

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

#[tokio::test(start_paused = true)]
async fn what_is_done_in_time_passes() {
    assert_eq!(within(2, async { tokio::time::sleep(Duration::from_secs(1)).await }).await, ());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "not done within 1 s")]
async fn what_hangs_fails() {
    within(1, std::future::pending::<()>()).await;
}
