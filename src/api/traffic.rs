//! What the HTTP face counts of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const STATUSES: std::ops::Range<u16> = 100..600;

/// Counters of every route, and of the server.
#[derive(Default)]
pub(super) struct Traffic {
    routes: Mutex<BTreeMap<&'static str, Arc<RouteTraffic>>>,
    connections: AtomicUsize,
}

/// Counters of one route.
pub(super) struct RouteTraffic {
    /// How often each status was answered; the first is 100.
    answers: Box<[AtomicU64]>,
}

impl Traffic {
    /// The counters of `route`, which outlive the router that asks.
    pub(super) fn route(&self, route: &'static str) -> Arc<RouteTraffic> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(RouteTraffic { answers: STATUSES.map(|_| AtomicU64::new(0)).collect() });
        routes.entry(route).or_insert_with(new).clone()
    }

    /// Every route and status that was answered, and how often.
    pub(super) fn answers(&self) -> Vec<(&'static str, u16, u64)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = routes.iter().flat_map(|(route, traffic)| {
            STATUSES.zip(&traffic.answers).map(|(status, count)| (*route, status, count.load(Ordering::Relaxed)))
        });
        counts.filter(|(_, _, count)| 0 < *count).collect()
    }

    /// Takes note of how many connections are open.
    pub(super) fn set_connections(&self, open: usize) {
        self.connections.store(open, Ordering::Relaxed);
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl RouteTraffic {
    /// Counts an answer.
    pub(super) fn count(&self, status: u16) {
        let answers = self.answers.get(usize::from(status.saturating_sub(STATUSES.start)));
        if let Some(count) = answers {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
