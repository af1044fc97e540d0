//! Where a Tollgate under test keeps its books, and checks that run at each of these places.

use std::any::Any;
use std::sync::Arc;
#[cfg(feature = "tigerbeetle")]
use std::sync::Weak;
use std::time::Duration;

use tollgate::Tollgate;
use tollgate::backends::memory::MemoryLedger;
#[cfg(feature = "tigerbeetle")]
use tollgate::backends::tigerbeetle::TigerBeetleLedger;
use tollgate::backends::{Backend, Observer};
use tollgate::clock::Clock;
#[cfg(feature = "tigerbeetle")]
use tollgate::config::TigerBeetleSettings;
use tollgate::config::{BackendSettings, MemorySettings, Settings};
use tollgate::policy::DefinitionFields;
use tollgate::tollgate::TollgateBuilder;

use super::differences::Differences;
use super::until;

/// How long a check may take, in seconds: a virtual year is over in an instant, and in real time a check may have to
/// wait for others.
pub(crate) const VIRTUAL: u64 = 31_557_600;
pub(crate) const REAL: u64 = 300;

/// Makes a test of each check, in the module `$place` for where the books are. Each has a place of its own, which
/// `$start` makes.
macro_rules! tests {
    (
        $place:ident = $start:path, $seconds:path, #[$attribute:meta]
        { $($feature:ident: $($check:ident),+;)+ }
    ) => {
        mod $place {
            $(mod $feature {
                $(
                    #[$attribute]
                    async fn $check() {
                        let check = async { super::super::$feature::$check($start().await).await };
                        $crate::support::within($seconds, check).await;
                    }
                )+
            })+
        }
    };
}

/// The same at every place where one call follows the other.
macro_rules! tests_at_each_place {
    ({ $($checks:tt)+ }) => {
        $crate::support::place::tests! {
            memory = $crate::support::place::memory, $crate::support::place::VIRTUAL,
            #[tokio::test(start_paused = true)] { $($checks)+ }
        }
        #[cfg(feature = "tigerbeetle")]
        $crate::support::place::tests! {
            tigerbeetle = $crate::support::place::tigerbeetle, $crate::support::place::REAL,
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)] { $($checks)+ }
        }
    };
}

/// The same where many calls are made at once, on real threads.
macro_rules! tests_on_threads_at_each_place {
    ({ $($checks:tt)+ }) => {
        $crate::support::place::tests! {
            memory_on_threads = $crate::support::place::memory, $crate::support::place::REAL,
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)] { $($checks)+ }
        }
        #[cfg(feature = "tigerbeetle")]
        $crate::support::place::tests! {
            tigerbeetle_on_threads = $crate::support::place::tigerbeetle, $crate::support::place::REAL,
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)] { $($checks)+ }
        }
    };
}

pub(crate) use {tests, tests_at_each_place, tests_on_threads_at_each_place};

/// Where the books are.
pub(crate) struct Place {
    backend: BackendSettings,
    memory: MemorySettings,
    pub(crate) differs: Differences,
    /// What it needs, for as long.
    _has: Option<Box<dyn Any + Send + Sync>>,
}

/// In memory, in virtual time.
pub(crate) async fn memory() -> Place {
    Place {
        backend: BackendSettings::Memory,
        memory: MemorySettings::default(),
        differs: Differences::MEMORY,
        _has: None,
    }
}

/// In books of their own in the TigerBeetle server that tests share.
#[cfg(feature = "tigerbeetle")]
pub(crate) async fn tigerbeetle() -> Place {
    let shared = super::tigerbeetle::Server::shared_by(1).await;
    // With room and time for a storm of calls.
    let way = TigerBeetleSettings { deadline: Duration::from_secs(30), in_flight_max: 20_000, ..shared.settings() };
    let backend = BackendSettings::TigerBeetle(way);
    let memory = MemorySettings::default();
    Place { backend, memory, differs: Differences::TIGERBEETLE, _has: Some(Box::new(shared)) }
}

impl Place {
    pub(crate) fn settings(&self) -> Settings {
        Settings { backend: self.backend.clone(), memory: self.memory, ..Settings::default() }
    }

    /// The same place with other bounds.
    pub(crate) fn with(self, memory: MemorySettings) -> Self {
        Self { memory, ..self }
    }

    pub(crate) fn builder(&self) -> TollgateBuilder {
        Tollgate::builder().settings(self.settings())
    }

    /// A Tollgate with these limits.
    pub(crate) async fn start(&self, limits: impl IntoIterator<Item = DefinitionFields>) -> Tollgate {
        let builder = limits.into_iter().fold(self.builder(), |builder, limit| builder.limit_fields(limit));
        builder.start().await.expect("it starts")
    }

    /// A ledger alone, without a Tollgate: its housekeeping is done as long as it is there.
    pub(crate) async fn ledger(&self, clock: Clock, observer: Arc<dyn Observer>) -> Arc<dyn Backend> {
        match &self.backend {
            BackendSettings::Memory => Arc::new(MemoryLedger::new(clock, &self.settings(), observer)),
            #[cfg(feature = "tigerbeetle")]
            BackendSettings::TigerBeetle(way) => {
                let connected = TigerBeetleLedger::connect(way, &self.settings(), clock, observer).await;
                let ledger: Arc<dyn Backend> = Arc::new(connected.expect("it connects"));
                tokio::spawn(sweep_while_there(Arc::downgrade(&ledger)));
                ledger
            }
            #[cfg(not(feature = "tigerbeetle"))]
            BackendSettings::TigerBeetle(_) => unreachable!("it is not in this build"),
        }
    }

    /// Lets every task do what it can do now.
    pub(crate) async fn settled(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(self.differs.settling_ms_max)).await;
    }

    /// Waits for what is possible at once. Where time is virtual, it is so as soon as every task has done what it can.
    pub(crate) async fn soon(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        if self.differs.is_exact() {
            self.settled().await;
            assert!(is_so().await, "{what}: not at once");
        } else {
            until(10, what, is_so).await;
        }
    }
}

/// As often as the actor that owns a ledger does it.
#[cfg(feature = "tigerbeetle")]
async fn sweep_while_there(ledger: Weak<dyn Backend>) {
    while let Some(ledger) = ledger.upgrade() {
        while ledger.sweep() {
            tokio::task::yield_now().await;
        }
        drop(ledger);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
