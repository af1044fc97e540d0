//! The books: what this server keeps beside the ledger, and the way to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use smallvec::SmallVec;
use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;
use tigerbeetle_unofficial::core::query_filter;
use tigerbeetle_unofficial::{QueryFilter, Transfer, account};

use super::answer::SessionError;
use super::chart::{Chart, link};
use super::counting::Counts;
use super::definition_log::PARTS_MAX;
use super::ending::Ending;
use super::forerunner::Forerunner;
use super::lease::Maker;
use super::leases::Leases;
use super::limit::{Limit, Terms};
use super::limits::Limits;
use super::session::Session;
use super::template::Elsewhere;
use crate::backends::{BackendError, Observer};
use crate::clock::Clock;
use crate::config::{Settings, TigerBeetleSettings};
use crate::policy::{ExpiringTable, Key, KeyPattern, LeaseId, Reason, Refusal};

/// How long the failed attempts of a reservation are remembered, and of how many.
const ATTEMPT_MEMORY: Duration = Duration::from_secs(600);
const ATTEMPTS_MAX: usize = 100_000;

/// The most transfers of one call, which are in one packet: a development server takes 253.
pub(super) const PACKET_MAX: usize = 200;

/// The most limits that are looked at for debts of other servers in one go.
const REPAYING_MAX: usize = 1_000;

/// How often each hold of a reservation failed for good.
pub(super) type Attempts = SmallVec<[u16; 4]>;

/// Why the ledger could not be asked or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Too many are asking.
    Overloaded,
    /// The cluster is away; nothing was sent.
    Away(String),
    /// The way to the cluster broke: it may have been done.
    Lost(String),
    /// The limit was deleted, with this version, by another server.
    Deleted { key: Key, version: u64 },
    /// What the ledger says makes no sense here.
    Fault(String),
}

/// What became of a chain.
pub(super) struct Written {
    /// The member that failed, and with it the whole chain.
    pub(super) cause: Option<(usize, CreateTransferErrorKind)>,
    /// When, in the cluster's time.
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
    pub(super) ending: Arc<Ending>,
    /// Cloned into every task that goes on by itself.
    pub(super) detached: Arc<()>,
    pub(super) forerunner: Mutex<Forerunner>,
    /// Limits that were used since it was last looked whether they owe something.
    pub(super) repaying: Mutex<Vec<Arc<Limit>>>,
    /// Templates that other servers changed or deleted.
    templates_elsewhere: Mutex<HashMap<KeyPattern, Elsewhere>>,
    is_closed: AtomicBool,
    /// The next attempt of reservations whose earlier ones failed: their ids are burned.
    attempts: Mutex<ExpiringTable<LeaseId, Attempts>>,
}

impl Books {
    pub(super) fn new(
        session: Arc<Session>,
        tigerbeetle: &TigerBeetleSettings,
        settings: &Settings,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let chart = Chart::new(tigerbeetle.ledger, Maker::random());
        Self {
            session,
            chart,
            limits: Limits::new(chart.ids, settings.memory.max_instances),
            leases: Leases::new(settings.memory.max_leases),
            settings: settings.clone(),
            clock,
            observer,
            counts: Counts::default(),
            ending: Ending::new(tigerbeetle.in_flight_max),
            detached: Arc::default(),
            forerunner: Mutex::default(),
            repaying: Mutex::default(),
            templates_elsewhere: Mutex::default(),
            is_closed: AtomicBool::new(false),
            attempts: Mutex::new(ExpiringTable::new(ATTEMPT_MEMORY, ATTEMPTS_MAX)),
        }
    }

    /// Writes what may be more than one packet takes, and may fail one by one.
    pub(super) async fn write_each(&self, transfers: &[Transfer]) -> Result<(), Trouble> {
        for packet in transfers.chunks(PACKET_MAX) {
            self.session.create_transfers(packet.to_vec()).await?;
        }
        Ok(())
    }

    /// Writes a chain after a prelude, in the same packet if that takes both.
    pub(super) async fn write_chain(
        &self,
        mut prelude: Vec<Transfer>,
        mut chain: Vec<Transfer>,
    ) -> Result<Written, Trouble> {
        link(&mut chain);
        if PACKET_MAX < prelude.len() + chain.len() {
            Box::pin(self.write_each(&prelude)).await?;
            prelude.clear();
        }
        let chain_at = prelude.len();
        if chain_at != 0 {
            prelude.append(&mut chain);
            chain = prelude;
        }
        let answer = self.session.create_transfers(chain).await?;
        // What failed with the one that failed is not named twice; what comes before the chain may fail by itself.
        let is_cause = |(at, kind): &&(usize, CreateTransferErrorKind)| {
            chain_at <= *at && !matches!(kind, CreateTransferErrorKind::LinkedEventFailed)
        };
        let cause = answer.value.iter().find(is_cause).map(|(at, kind)| (at - chain_at, *kind));
        Ok(Written { cause, cluster_ns: answer.cluster_ns })
    }

    /// The last transfers of a limit's log, the last one first. The leases of clients cannot get in there.
    pub(super) async fn last_entries(&self, key: u128) -> Result<Vec<Transfer>, Trouble> {
        let mut filter = account::Filter::new(self.chart.log, PARTS_MAX);
        filter.set_flags(account::FilterFlags::CREDITS | account::FilterFlags::REVERSED);
        filter.as_raw_mut().user_data_128 = key;
        Ok(self.session.account_transfers(filter).await?.value)
    }

    /// Transfers of a lease, at most `count`: the last ones, the last one first, or the first ones.
    pub(super) async fn of_lease(&self, id: LeaseId, count: u32, last: bool) -> Result<Vec<Transfer>, Trouble> {
        if id.as_u128() == 0 {
            return Ok(Vec::new()); // The cluster would take it for all leases.
        }
        let flags = if last { query_filter::Flags::REVERSED } else { query_filter::Flags::empty() };
        let filter = QueryFilter::new(count).with_user_data_128(id.as_u128()).with_ledger(self.chart.ids.ledger());
        Ok(self.session.query_transfers(filter.with_flags(flags)).await?.value)
    }

    /// What comes before a chain over this limit, in the same packet: what flowed back by this time of the cluster,
    /// then what it owes.
    pub(super) fn prelude(&self, limit: &Limit, terms: &Terms, cluster_ns: u64, transfers: &mut Vec<Transfer>) {
        if let Some(ticks) = terms.ticks {
            let state = limit.lock();
            let is_same = state.standing.is_some_and(|standing| standing.seq == terms.standing.seq);
            let sent = if is_same { state.ticked } else { 0 };
            drop(state);
            let refill = |(tick, amount)| self.chart.refill(terms, ticks.tick(tick), amount);
            transfers.extend(ticks.due(sent, cluster_ns).map(refill));
        }
        if terms.owes {
            transfers.push(self.chart.collect(&terms.accounts, self.unix_ms()));
        }
    }

    /// The prelude of that time has arrived: its ticks are not sent again. Until then everybody sends them, so that
    /// none comes after somebody has spent.
    pub(super) fn arrived(&self, limit: &Limit, terms: &Terms, cluster_ns: u64) {
        if let Some(ticks) = terms.ticks {
            let mut state = limit.lock();
            if state.standing.is_some_and(|standing| standing.seq == terms.standing.seq) {
                state.ticked = state.ticked.max(ticks.at(cluster_ns));
            }
        }
    }

    /// A pause of work that may outlive the runtime of whoever asked for it.
    pub(super) fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        let _runtime = self.session.runtime.enter();
        tokio::time::sleep(duration)
    }

    /// The limit is in use, and what it owes is to be looked for with the next look at what other servers do.
    pub(super) fn look_for_debt_later(&self, limit: &Arc<Limit>) {
        if std::mem::replace(&mut limit.lock().is_listed, true) {
            return;
        }
        let mut repaying = self.repaying.lock().expect("nothing under this lock panics but a broken invariant");
        if repaying.len() < REPAYING_MAX {
            repaying.push(Arc::clone(limit));
        } else {
            drop(repaying);
            limit.lock().is_listed = false;
        }
    }

    pub(super) fn templates_elsewhere(&self) -> MutexGuard<'_, HashMap<KeyPattern, Elsewhere>> {
        self.templates_elsewhere.lock().expect("nothing under this lock panics but a broken invariant")
    }

    /// From now on nothing waits for the cluster any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.session.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn attempts_of(&self, lease_id: LeaseId) -> Attempts {
        let mut attempts = self.attempts.lock().expect("nothing under this lock panics but a broken invariant");
        if attempts.is_empty() {
            return Attempts::new();
        }
        attempts.remove(&lease_id, self.clock.now()).unwrap_or_default()
    }

    pub(super) fn remember_attempts(&self, lease_id: LeaseId, failed: Attempts) {
        let mut attempts = self.attempts.lock().expect("nothing under this lock panics but a broken invariant");
        attempts.insert(lease_id, failed, self.clock.now());
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

impl Trouble {
    pub(super) fn refusal(self, settings: &Settings) -> Box<Refusal> {
        Box::new(match self {
            Self::Overloaded => settings.overloaded(),
            Self::Deleted { key, .. } => Refusal::permanent(Reason::UnknownLimitKey(key)),
            trouble => Refusal::permanent(Reason::BackendError(trouble.text())),
        })
    }

    /// What came of it; `None` if another server deleted the limit.
    pub(super) fn unless_deleted<T>(outcome: Result<T, Self>) -> Result<Option<T>, Self> {
        match outcome {
            Err(Self::Deleted { .. }) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Overloaded => "too many requests to the ledger are in flight; try again".to_owned(),
            Self::Deleted { .. } => "another server of the group deleted this limit; put it again".to_owned(),
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
