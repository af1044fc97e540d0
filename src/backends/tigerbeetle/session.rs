//! The way to a cluster of TigerBeetle: bounded, never hanging, one client at a time that is replaced when it fails.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytemuck::{AnyBitPattern, NoUninit};
use tigerbeetle_unofficial::core::OperationKind;
use tigerbeetle_unofficial::error::{CreateAccountErrorKind, CreateTransferErrorKind};
use tigerbeetle_unofficial::transfer::Flags;
use tigerbeetle_unofficial::{Account, QueryFilter, Transfer, account};
use tokio::runtime::Handle;

use super::answer::{Answer, SessionError, account_failures, decoded, transfer_failures};
use super::call::Answering;
use super::client::Client;
use super::crash_point::Change;
use super::link::Link;
use super::recovery::Recovery;
use super::vitals::Vitals;
use crate::backends::{Health, SessionStatus};
use crate::policy::Moment;

/// What was refused of a packet: its place, and why.
pub type Failures<Kind> = Vec<(usize, Kind)>;

/// A connection to a cluster that survives its clients. Cheap to share; every method may be called from any thread.
///
/// What a method asks for is handed over at the call, and belongs to it: it goes on if the future is dropped. The
/// future ends when the cluster answers or the client is replaced; deadlines are put around it by
/// [`within_deadline`](super::within_deadline). Somebody has to [`tick`](Self::tick) it, and to run the runtime in
/// which it began.
pub struct Session {
    pub(super) vitals: Arc<Vitals>,
    /// `None` once the session is closed.
    pub(super) client: RwLock<Option<Client>>,
    pub(super) recovery: Mutex<Recovery>,
    pub(super) cluster_id: u128,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) deadline: Duration,
    /// The runtime that was there at the start: where timers run, what is left of a call goes on, what waits is sent.
    pub(super) runtime: Handle,
}

impl AsRef<Self> for Session {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Session {
    /// Creates accounts; the answer names those that failed, by their place.
    pub fn create_accounts(
        &self,
        accounts: Vec<Account>,
    ) -> impl Future<Output = Result<Answer<Failures<CreateAccountErrorKind>>, SessionError>> + Send + 'static + use<>
    {
        let failed = self.ask(OperationKind::CreateAccounts, accounts);
        async move { failed.await.map(|answer| answer.map(account_failures)) }
    }

    /// Creates transfers, in one packet with those of others; the answer names those that failed, by their place.
    ///
    /// # Panics
    /// If the last one is linked to the next, or one is imported: others would be drawn in.
    pub fn create_transfers(
        &self,
        transfers: Vec<Transfer>,
    ) -> impl Future<Output = Result<Answer<Failures<CreateTransferErrorKind>>, SessionError>> + Send + 'static + use<>
    {
        assert!(transfers.last().is_none_or(|last| !last.flags().contains(Flags::LINKED)), "a chain must have an end");
        let is_imported = |transfer: &Transfer| transfer.flags().contains(Flags::IMPORTED);
        assert!(!transfers.iter().any(is_imported), "all transfers of a packet are imported, or none");
        let is_empty = transfers.is_empty();
        let send = |link: &Arc<Link>, slot| link.create_transfers(transfers, slot);
        let failed = answered(self.send(OperationKind::CreateTransfers, is_empty, send));
        async move { failed.await.map(|answer| answer.map(transfer_failures)) }
    }

    /// The accounts with these ids that exist.
    pub fn lookup_accounts(
        &self,
        ids: Vec<u128>,
    ) -> impl Future<Output = Result<Answer<Vec<Account>>, SessionError>> + Send + 'static + use<> {
        self.ask(OperationKind::LookupAccounts, ids)
    }

    /// The transfers with these ids that exist.
    pub fn lookup_transfers(
        &self,
        ids: Vec<u128>,
    ) -> impl Future<Output = Result<Answer<Vec<Transfer>>, SessionError>> + Send + 'static + use<> {
        self.ask(OperationKind::LookupTransfers, ids)
    }

    /// The transfers that pass `filter`. An invalid filter answers with none.
    pub fn query_transfers(
        &self,
        filter: QueryFilter,
    ) -> impl Future<Output = Result<Answer<Vec<Transfer>>, SessionError>> + Send + 'static + use<> {
        self.ask(OperationKind::QueryTransfers, vec![filter])
    }

    /// The transfers of one account that pass `filter`. An invalid filter answers with none.
    pub fn account_transfers(
        &self,
        filter: account::Filter,
    ) -> impl Future<Output = Result<Answer<Vec<Transfer>>, SessionError>> + Send + 'static + use<> {
        self.ask(OperationKind::GetAccountTransfers, vec![filter])
    }

    /// What time it is for the cluster, in nanoseconds since 1970: an estimate, learned from every answer.
    #[must_use]
    pub fn cluster_ns(&self) -> u64 {
        self.vitals.cluster_ns()
    }

    /// The same for `moment`.
    #[must_use]
    pub fn cluster_ns_at(&self, moment: Moment) -> u64 {
        self.vitals.cluster_ns_at(moment)
    }

    /// When it is, or was, `cluster_ns` for the cluster; not before the start of this process's clock.
    #[must_use]
    pub fn moment_of(&self, cluster_ns: u64) -> Moment {
        self.vitals.moment_of(cluster_ns)
    }

    /// How long a call may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether the cluster does not answer. Calls are refused then, until it does.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.vitals.is_away()
    }

    /// Whether the cluster answers, and if not, what is known about why.
    #[must_use]
    pub fn health(&self) -> Health {
        self.vitals.why_away().map_or(Health::Up, |why| Health::Down(format!("TigerBeetle is away: {why}")))
    }

    /// What the session counts; the decisions by `when_unavailable` are counted by those who make them.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        self.vitals.status()
    }

    /// Ends every call with [`SessionError::Lost`]; later ones are refused as [`SessionError::Away`].
    pub fn close(&self) {
        let client = self.client.write().unwrap_or_else(PoisonError::into_inner).take();
        if client.is_some() {
            drop(client);
            self.vitals.mark_closed();
        }
    }

    /// Asks for what costs the cluster least, even while it is away and whatever is in flight.
    pub(super) fn probe(&self) -> Result<Answering, SessionError> {
        Ok(self.link()?.ask(OperationKind::LookupAccounts, vec![1_u128], None))
    }

    fn ask<T, R>(
        &self,
        operation: OperationKind,
        events: Vec<T>,
    ) -> impl Future<Output = Result<Answer<Vec<R>>, SessionError>> + Send + 'static + use<T, R>
    where
        T: NoUninit + Send,
        R: AnyBitPattern + NoUninit + Send,
    {
        let is_empty = events.is_empty();
        answered(self.send(operation, is_empty, move |link, slot| link.ask(operation, events, Some(slot))))
    }

    /// The cluster is not asked for nothing.
    fn send(
        &self,
        operation: OperationKind,
        is_empty: bool,
        send: impl FnOnce(&Arc<Link>, Arc<Vitals>) -> Answering,
    ) -> Result<Sent, SessionError> {
        if is_empty {
            return Ok(Sent::Nothing { cluster_ns: self.cluster_ns() });
        }
        if let Some(why) = self.vitals.why_away() {
            return Err(SessionError::Away(why));
        }
        if !self.vitals.take_slot() {
            return Err(SessionError::Overloaded);
        }
        let change = Change::about_to_be_sent(operation);
        let link = self.link().inspect_err(|_| self.vitals.give_slot_back())?;
        Ok(Sent::Call(send(&link, Arc::clone(&self.vitals)), change))
    }

    /// The way to the client. Nothing is sent while the client is locked.
    fn link(&self) -> Result<Arc<Link>, SessionError> {
        let link = self.client().as_ref().map(Client::link);
        link.ok_or_else(|| SessionError::Away("the session was closed".to_owned()))
    }

    pub(super) fn client(&self) -> RwLockReadGuard<'_, Option<Client>> {
        self.client.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was sent.
enum Sent {
    Call(Answering, Change),
    Nothing { cluster_ns: u64 },
}

async fn answered<R: AnyBitPattern + NoUninit>(
    sent: Result<Sent, SessionError>,
) -> Result<Answer<Vec<R>>, SessionError> {
    match sent? {
        Sent::Call(answering, change) => {
            let answer = answering.await?;
            change.is_answered();
            Ok(decoded(answer))
        }
        Sent::Nothing { cluster_ns } => Ok(Answer { value: Vec::new(), cluster_ns }),
    }
}
