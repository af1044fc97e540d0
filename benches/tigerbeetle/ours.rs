//! Tollgate over the same cluster, through the handle that hosts hold.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::try_join_all;
use tollgate::config::{BackendSettings, Settings, TigerBeetleSettings};
use tollgate::policy::{Amounts, Complete, Key, LeaseId, Reserve};
use tollgate::{Lease, Tollgate};

use super::callers::Side;
use super::{KEYS, NEEDED, PLENTY, USED, WINDOW_SECONDS};
use crate::support::{concurrency, rolling};

/// A busy machine must not make the cluster look as if it were away.
const DEADLINE: Duration = Duration::from_secs(10);

/// Ours.
pub(crate) struct Ours {
    pub(crate) tollgate: Tollgate,
    needed: Amounts,
    used: Amounts,
}

impl Ours {
    pub(crate) async fn start(addresses: &[SocketAddr]) -> Self {
        let cluster =
            TigerBeetleSettings { addresses: addresses.to_vec(), deadline: DEADLINE, ..TigerBeetleSettings::default() };
        let settings = Settings { backend: BackendSettings::TigerBeetle(cluster), ..Settings::default() };
        let [rpm, tpm, at_once, _] = KEYS;
        let limits = [
            rolling(rpm, PLENTY, WINDOW_SECONDS.into()),
            rolling(tpm, PLENTY, WINDOW_SECONDS.into()),
            concurrency(at_once, PLENTY),
            rolling("tenant:{tenant}:llm:daily_tokens", PLENTY, WINDOW_SECONDS.into()),
        ];
        let builder = Tollgate::builder().settings(settings);
        let builder = limits.into_iter().fold(builder, |builder, limit| builder.limit(limit));
        let keys = KEYS.map(|key| Key::parse(key).expect("a good key"));
        let keyed = |key: &Key, amount| (key.clone(), amount);
        let needed = Amounts::used(keys.iter().zip(NEEDED).map(|(key, amount)| keyed(key, amount)));
        // What is held at once needs no word to be free.
        let tokens = keys.iter().zip(USED).filter_map(|(key, used)| Some(keyed(key, used.filter(|used| *used != 0)?)));
        let used = Amounts::used(tokens);
        Self {
            tollgate: builder.start().await.expect("a Tollgate"),
            needed: needed.expect("good amounts"),
            used: used.expect("good amounts"),
        }
    }

    /// Ends leases that were reserved over HTTP.
    pub(crate) async fn complete_by_id(&self, leases: Vec<LeaseId>) {
        let request = |lease_id| Complete { lease_id, actuals: self.used.clone() };
        let ends = leases.into_iter().map(|lease_id| self.tollgate.complete(request(lease_id)));
        try_join_all(ends).await.expect("live leases");
    }
}

impl Side for Ours {
    type Lease = Lease;

    async fn reserve(&self) -> Lease {
        self.tollgate.reserve(Reserve::new(self.needed.clone())).await.expect("plenty")
    }

    async fn complete(&self, lease: Lease) {
        lease.complete(self.used.clone()).await.expect("a live lease");
    }
}
