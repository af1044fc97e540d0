//! Bad days of a cluster, as hosts and their callers live through them.

#[cfg(all(feature = "crash-points", feature = "server"))]
mod crashes;
mod crowded;
mod evicted;
mod outages;
mod replays;
#[cfg(feature = "server")]
mod served;
mod storm;
mod traffic;
mod waiters;

use std::time::Duration;

use tollgate::Tollgate;
use tollgate::config::{BackendSettings, Settings, TigerBeetleSettings};
use tollgate::policy::DefinitionFields;

use crate::support::tigerbeetle::Server;
use crate::support::{key, sleep_ms};

/// The default.
const DEADLINE: Duration = Duration::from_millis(100);

/// How long all that is late may take to be given back, once the cluster answers.
const SETTLED_SECONDS: u64 = 20;

fn settings(tigerbeetle: TigerBeetleSettings) -> Settings {
    let backend = BackendSettings::TigerBeetle(TigerBeetleSettings { deadline: DEADLINE, ..tigerbeetle });
    Settings { backend, ..Settings::default() }
}

async fn start(tigerbeetle: TigerBeetleSettings, limits: &[DefinitionFields]) -> Tollgate {
    let builder = Tollgate::builder().settings(settings(tigerbeetle));
    let builder = limits.iter().cloned().fold(builder, |builder, fields| builder.limit_fields(fields));
    builder.start().await.expect("a Tollgate")
}

/// Kills a server, and lets it do again what it did after `seconds`.
async fn kill_for(server: &Server, seconds: u64) {
    server.kill().await;
    sleep_ms(seconds * 1_000).await;
    server.recover().await;
}

/// Waits until all of these limits is free, as it is once every lease is over and nothing has leaked.
async fn until_all_is_free(tollgate: &Tollgate, limits: &[DefinitionFields]) {
    for limit in limits {
        let (mut last, limit_key) = (String::new(), key(&limit.key));
        let free = async {
            loop {
                if let Ok(Some(usage)) = tollgate.usage(&limit_key).await {
                    let usage = usage.usage;
                    assert_eq!(usage.capacity, limit.capacity, "{usage:?}");
                    assert!(usage.available <= limit.capacity, "it was funded twice: {usage:?}");
                    if usage.available == limit.capacity && usage.debt == 0 {
                        return;
                    }
                    last = format!("{usage:?}");
                }
                sleep_ms(20).await;
            }
        };
        let freed = tokio::time::timeout(Duration::from_secs(SETTLED_SECONDS), free).await;
        assert!(freed.is_ok(), "something leaked: {last}\n{:?}", tollgate.status().backend);
    }
}
