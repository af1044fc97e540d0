//! What a host holds: limiters in this process and across HTTP, from one source, and what only one of them can do.

mod contract;
#[cfg(all(feature = "server", feature = "http-client"))]
mod fake;
#[cfg(all(feature = "server", feature = "http-client"))]
mod http;
#[cfg(all(feature = "server", feature = "http-client"))]
mod killed;
mod settings;

use std::sync::Arc;

use tollgate::Tollgate;
use tollgate::client::{Attempt, Completion, Limiter, LocalLimiter};
use tollgate::policy::{Amounts, Complete, Definition, LeaseId};

use crate::support::{bucket, checked, concurrency, request, rolling, until, used};

/// How long anything may take here, in seconds.
const PATIENCE_SECONDS: u64 = 60;

/// A Tollgate, and a limiter that reaches it.
struct Host {
    tollgate: Tollgate,
    limiter: Arc<dyn Limiter>,
}

/// What both ends of a comparison begin with.
fn limits() -> [Definition; 3] {
    [rolling("rpm", 100, 3_600), concurrency("slots", 2, 600), bucket("bucket", 50, 1, 3_600)].map(checked)
}

async fn tollgate() -> Tollgate {
    limits()
        .into_iter()
        .fold(Tollgate::builder(), |builder, limit| builder.limit(limit))
        .start()
        .await
        .expect("it starts")
}

async fn local() -> Host {
    let tollgate = tollgate().await;
    Host { limiter: Arc::new(LocalLimiter::new(tollgate.clone())), tollgate }
}

#[cfg(all(feature = "server", feature = "http-client"))]
async fn http() -> Host {
    let tollgate = tollgate().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let served = tollgate.clone();
    tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    Host { limiter: Arc::new(remote(address)), tollgate }
}

#[cfg(all(feature = "server", feature = "http-client"))]
async fn batched() -> Host {
    let Host { tollgate, limiter } = http().await;
    let limiter = Arc::new(tollgate::client::Batcher::new(limiter, &Default::default()));
    Host { tollgate, limiter }
}

#[cfg(all(feature = "server", feature = "http-client"))]
pub(crate) fn remote(address: std::net::SocketAddr) -> tollgate::client::HttpLimiter {
    use tollgate::client::{BaseUrl, HttpLimiter, RemoteSettings};
    let base_url = BaseUrl::parse(&format!("http://{address}")).expect("a good URL");
    HttpLimiter::new(&RemoteSettings::new(base_url)).expect("it can be asked")
}

impl Host {
    fn live_leases(&self) -> u64 {
        self.tollgate.totals().live_leases
    }

    /// Waits until nothing is held any more.
    async fn until_nothing_is_held(&self) {
        let left = || (self.live_leases(), self.tollgate.waiting());
        until(PATIENCE_SECONDS, "nothing is held", async || left() == (0, 0)).await;
    }
}

fn attempt(requirements: &[(&str, u64)]) -> Attempt {
    request(requirements).into()
}

fn end(lease_id: LeaseId) -> Completion {
    Complete { lease_id, actuals: Amounts::default() }.into()
}

fn end_with(lease_id: LeaseId, actuals: &[(&str, u64)]) -> Completion {
    Complete { lease_id, actuals: used(actuals) }.into()
}

#[cfg(all(feature = "server", feature = "http-client"))]
#[expect(clippy::disallowed_methods, reason = "a host reads its own clock")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
