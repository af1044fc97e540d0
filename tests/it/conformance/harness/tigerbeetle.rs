//! The ledger in TigerBeetle, on a real server.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tollgate::backends::Backend;
use tollgate::backends::tigerbeetle::TigerBeetleLedger;
use tollgate::clock::Clock;
use tollgate::config::{Settings, TigerBeetleSettings};

use super::{Freed, Harness};
use crate::support::differences::Differences;
use crate::support::tigerbeetle::Server;

/// As often as the actor that owns a ledger does it.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Books of their own in the server that tests share, with room for a storm of calls.
pub(crate) async fn tigerbeetle() -> Harness {
    let shared = Server::shared_by(1).await;
    let way = TigerBeetleSettings { deadline: Duration::from_secs(30), in_flight_max: 20_000, ..shared.settings() };
    let (freed, clock) = (Arc::<Freed>::default(), Clock::start());
    let observer = Arc::<Freed>::clone(&freed);
    let connected = TigerBeetleLedger::connect(&way, &Settings::default(), clock.clone(), observer).await;
    let backend: Arc<dyn Backend> = Arc::new(connected.expect("it connects"));
    tokio::spawn(sweep_while_there(Arc::downgrade(&backend)));
    Harness::new(backend, Differences::TIGERBEETLE, clock, freed).while_it_has(shared)
}

async fn sweep_while_there(backend: Weak<dyn Backend>) {
    while let Some(backend) = backend.upgrade() {
        while backend.sweep() {
            tokio::task::yield_now().await;
        }
        drop(backend);
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}
