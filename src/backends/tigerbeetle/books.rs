//! The books: what this server keeps beside the ledger, and the way to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;
use tigerbeetle_unofficial::{QueryFilter, Transfer};

use super::chart::Chart;
use super::leases::Leases;
use super::limit::{Limit, Terms};
use super::limits::Limits;
use super::patience::Patience;
use super::session::{Session, SessionError};
use crate::backends::{BackendError, Observer};
use crate::clock::Clock;
use crate::config::{Settings, TigerBeetleSettings};
use crate::policy::{ExpiringTable, LeaseId, Reason, Refusal};

/// How long the failed attempts of a reservation are remembered, and of how many.
const ATTEMPT_MEMORY: Duration = Duration::from_secs(600);
const ATTEMPTS_MAX: usize = 100_000;

/// As many transfers are asked for at once: what a development server answers in one piece.
const PAGE: u32 = 200;

/// The most transfers of one packet: a development server takes 253.
pub(super) const PACKET_MAX: usize = 200;

/// The most pages of one answer. A lease that was renewed more often than these can tell has lived for days.
const PAGES_MAX: usize = 64;

/// Why the ledger could not be asked or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Too many are asking.
    Overloaded,
    /// The cluster is away; nothing was sent.
    Away(String),
    /// The way to the cluster broke: it may have been done.
    Lost(String),
    /// What the ledger says makes no sense here.
    Fault(String),
}

/// What this server has counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) decided: AtomicU64,
    pub(super) granted: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) completed: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) late: AtomicU64,
}

/// What of a packet's transfers the cluster refused, with the time of its answer.
pub(super) struct Written {
    pub(super) failures: Vec<(usize, CreateTransferErrorKind)>,
    pub(super) cluster_ns: u64,
}

pub(super) struct Books {
    pub(super) session: Arc<Session>,
    pub(super) chart: Chart,
    pub(super) limits: Limits,
    pub(super) leases: Leases,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) counts: Counts,
    /// For completions, and reservations of which nobody knows what became.
    pub(super) patience: Patience,
    /// The next attempt of reservations whose earlier ones failed: their ids are burned.
    attempts: Mutex<ExpiringTable<LeaseId, u32>>,
}

impl Books {
    pub(super) fn new(
        session: Arc<Session>,
        tigerbeetle: &TigerBeetleSettings,
        settings: &Settings,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let chart = Chart::new(tigerbeetle.ledger);
        let patience = Patience::new(Arc::clone(&session), clock.clone(), tigerbeetle.in_flight_max);
        Self {
            session,
            chart,
            limits: Limits::new(chart.ids, settings.memory.max_instances),
            leases: Leases::new(settings.memory.max_leases),
            settings: settings.clone(),
            clock,
            observer,
            counts: Counts::default(),
            patience,
            attempts: Mutex::new(ExpiringTable::new(ATTEMPT_MEMORY, ATTEMPTS_MAX)),
        }
    }

    pub(super) async fn write(&self, transfers: Vec<Transfer>) -> Result<Written, Trouble> {
        let answer = self.session.create_transfers(transfers).await?;
        Ok(Written { failures: answer.value, cluster_ns: answer.cluster_ns })
    }

    /// The same of what may be more than one packet takes, and may fail one by one.
    pub(super) async fn write_each(&self, transfers: &[Transfer]) -> Result<(), Trouble> {
        for packet in transfers.chunks(PACKET_MAX) {
            self.write(packet.to_vec()).await?;
        }
        Ok(())
    }

    /// All transfers with this mark, in the order in which they were made.
    pub(super) async fn marked(&self, mark: u128) -> Result<Vec<Transfer>, Trouble> {
        let mut all: Vec<Transfer> = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut filter = QueryFilter::new(PAGE).with_user_data_128(mark).with_ledger(self.chart.ids.ledger());
            filter.as_raw_mut().timestamp_min = all.last().map_or(0, |last| last.as_raw().timestamp + 1);
            let page = self.session.query_transfers(filter).await?.value;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
        Err(Trouble::Fault("the ledger has more to say of this than can be read".to_owned()))
    }

    /// What comes before a chain over this limit, in the same packet: what flowed back since, then what it owes.
    pub(super) fn prelude(&self, limit: &Limit, terms: &Terms, transfers: &mut Vec<Transfer>) {
        if let Some(ticks) = terms.ticks {
            let mut state = limit.lock();
            let due = ticks.due(state.ticked, self.session.cluster_ns());
            state.ticked = state.ticked.max(*due.end());
            drop(state);
            for tick in due {
                let amount = ticks.amount(tick);
                if amount != 0 {
                    transfers.push(self.chart.refill(terms, tick, amount));
                }
            }
        }
        if terms.owes {
            transfers.push(self.chart.collect(&terms.accounts, self.unix_ms()));
        }
    }

    /// After a packet with refills got no answer: they are sent once more.
    pub(super) fn resend_refills(&self, limit: &Limit) {
        limit.lock().ticked = 0;
    }

    pub(super) fn attempt_of(&self, lease_id: LeaseId) -> u32 {
        let mut attempts = self.attempts.lock().expect("nothing under this lock panics but a broken invariant");
        attempts.remove(&lease_id, self.clock.now()).unwrap_or(0)
    }

    pub(super) fn remember_attempt(&self, lease_id: LeaseId, attempt: u32) {
        let mut attempts = self.attempts.lock().expect("nothing under this lock panics but a broken invariant");
        attempts.insert(lease_id, attempt, self.clock.now());
    }

    pub(super) fn unix_ms(&self) -> u64 {
        self.session.cluster_ns() / 1_000_000
    }

    pub(super) fn tell_freed(&self, limit: &Limit) {
        if self.limits.is_watched(&limit.key) {
            self.observer.capacity_freed(&limit.key);
        }
    }
}

impl Written {
    /// The one member that failed of the chain that begins at `chain_at`: what failed with it is not named twice.
    pub(super) fn cause(&self, chain_at: usize) -> Option<(usize, CreateTransferErrorKind)> {
        let is_cause = |(at, kind): &&(usize, CreateTransferErrorKind)| {
            chain_at <= *at && !matches!(kind, CreateTransferErrorKind::LinkedEventFailed)
        };
        self.failures.iter().find(is_cause).copied()
    }
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Trouble {
    pub(super) fn refusal(self, settings: &Settings) -> Box<Refusal> {
        Box::new(match self {
            Self::Overloaded => settings.overloaded(),
            Self::Away(reason) | Self::Lost(reason) | Self::Fault(reason) => {
                Refusal::permanent(Reason::BackendError(reason))
            }
        })
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Overloaded => "too many requests to the ledger are in flight; try again".to_owned(),
            Self::Away(reason) | Self::Lost(reason) | Self::Fault(reason) => reason,
        }
    }
}

impl From<Trouble> for BackendError {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.text())
    }
}

impl From<SessionError> for Trouble {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Overloaded => Self::Overloaded,
            SessionError::Away(reason) => Self::Away(reason),
            SessionError::Lost(reason) => Self::Lost(reason),
        }
    }
}
