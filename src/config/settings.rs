//! What the actor runtime may use: the same for a host that embeds it and for the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::policy::{Backoff, BreakerName, BreakerSettings, Preset, PriceTable, Refusal, Turns};

/// Bounds and delays of the runtime.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most calls that wait for one limit.
    pub max_waiters: usize,
    /// The most calls that wait for all limits together.
    pub max_waiters_total: usize,
    /// How waiting calls take turns.
    pub turns: Turns,
    /// What a caller is told to wait while the capacity of a limit is being lowered.
    pub decreasing_retry_after: Duration,
    /// What a caller is told to wait when a line, a table or a queue is full.
    pub overloaded_backoff: Backoff,
    /// Where the books are kept.
    pub backend: BackendSettings,
    /// Bounds of the memory backend.
    pub memory: MemorySettings,
    /// The most definitions of limits, templates included.
    pub max_limits: usize,
    /// How a circuit breaker behaves that has no settings of its own.
    pub breaker_defaults: BreakerSettings,
    /// Circuit breakers that are there from the start; of two with one name the last counts.
    pub breakers: Vec<(BreakerName, BreakerSettings)>,
    /// The most circuit breakers, those from the start included. They are made even if they are more.
    pub max_breakers: usize,
    /// Limits that every guarded call goes through. They are there from the start, also beside saved ones.
    pub preset: Option<Preset>,
    /// What the tokens of each model cost.
    pub prices: PriceTable,
}

/// Bounds of the memory backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// The most live limits that one template makes.
    pub max_instances: usize,
    /// The most leases that are remembered at once.
    pub max_leases: usize,
}

/// Where the books are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackendSettings {
    /// In the process's own memory.
    #[default]
    Memory,
    /// In a cluster of TigerBeetle, which other servers may share. Takes a build with the feature `tigerbeetle`.
    TigerBeetle(TigerBeetleSettings),
}

/// How a cluster of TigerBeetle is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TigerBeetleSettings {
    /// The number it was formatted with.
    pub cluster_id: u128,
    /// Its replicas, in their order; 1 to 6.
    pub addresses: Vec<SocketAddr>,
    /// At least 1. Groups of servers that share a cluster but no limits choose different ones.
    pub ledger: u32,
    /// How long a decision may take before the limits' `when_unavailable` makes it.
    pub deadline: Duration,
    /// The most requests on their way to it at once; more are refused as `overloaded`.
    pub in_flight_max: usize,
}

impl TigerBeetleSettings {
    /// Where a cluster listens by itself.
    pub const PORT: u16 = 3000;
}

impl Settings {
    /// The refusal of a part that is at its bound, with a wait that spreads those who are refused together.
    #[must_use]
    pub fn overloaded(&self) -> Refusal {
        Refusal::overloaded(self.overloaded_backoff.delay(0, fastrand::u64(..)))
    }

    /// The default delay of [`overloaded_backoff`](Self::overloaded_backoff).
    pub const OVERLOADED_DELAY: Duration = Duration::from_secs(1);
    /// The default jitter of [`overloaded_backoff`](Self::overloaded_backoff).
    pub const OVERLOADED_JITTER: Duration = Duration::from_millis(250);

    /// The backoff of an overloaded part: the same delay each time, because callers have no streak there, plus jitter.
    #[must_use]
    pub fn overloaded_backoff(delay: Duration, jitter_max: Duration) -> Backoff {
        Backoff::new(delay, 100, delay, jitter_max)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_waiters: 1_000,
            max_waiters_total: 10_000,
            turns: Turns::default(),
            decreasing_retry_after: Duration::from_secs(10),
            overloaded_backoff: Self::overloaded_backoff(Self::OVERLOADED_DELAY, Self::OVERLOADED_JITTER),
            backend: BackendSettings::default(),
            memory: MemorySettings::default(),
            max_limits: 10_000,
            breaker_defaults: BreakerSettings::default(),
            breakers: Vec::new(),
            max_breakers: 10_000,
            preset: None,
            prices: PriceTable::default(),
        }
    }
}

impl Default for TigerBeetleSettings {
    fn default() -> Self {
        Self {
            cluster_id: 0,
            addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, Self::PORT))],
            ledger: 1,
            deadline: Duration::from_millis(100),
            in_flight_max: 4_096,
        }
    }
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { max_instances: 1_000_000, max_leases: 1_000_000 }
    }
}
