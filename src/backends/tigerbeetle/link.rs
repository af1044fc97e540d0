//! What all packets of one client share, and what becomes of them. The library's own thread calls back into
//! [`Answers`], which owns nothing: after an eviction that thread may outlive the client, and everything it needs
//! travels with its packet.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::UNIX_EPOCH;

use bytemuck::NoUninit;
use slab::Slab;
use tigerbeetle_unofficial::Transfer;
use tigerbeetle_unofficial::core::error::{SendError, SendErrorKind};
use tigerbeetle_unofficial::core::util::{SendAsBytesOwnedSlice, SendOwnedSlice};
use tigerbeetle_unofficial::core::{Callbacks, Client as Library, OperationKind, Packet, Reply, UserData};
use tokio::runtime::Handle;

use super::again::Again;
use super::answer::{SessionError, failures_of_each};
use super::call::{Answering, Call, RawAnswer};
use super::outbox::{Group, Outbox, Turn};
use super::vitals::Vitals;

/// As many transfers takes a server with its standard settings in one packet. Others say that it is too much.
const GROUP_EVENTS_MAX: usize = 8_189;

/// What a client and its packets share, and what outlives it as long as one of them is on its way.
pub(super) struct Link {
    vitals: Arc<Vitals>,
    /// Where those have their turn who were answered.
    pub(super) runtime: Handle,
    /// `None` once its client is dropped. The library's own thread must not send with it.
    library: RwLock<Option<Library<&'static Answers>>>,
    /// The packets without an outcome. After an eviction the library forgets those that it is still given: without this
    /// table nobody would end them.
    parcels: Mutex<Slab<Arc<Parcel>>>,
    /// Transfers go together; the library would make each call's a batch of its own.
    outbox: Mutex<Outbox<Arc<Call>, Transfer>>,
    /// Why the library takes no more packets.
    refusal: OnceLock<SendError>,
    /// Whether its client was dropped, so that what comes says nothing about now.
    is_over: AtomicBool,
}

/// What is in a packet: the events of some calls, and how many are each one's, if there is more than one.
pub(super) struct Parcel {
    link: Arc<Link>,
    place: usize,
    events: SendAsBytesOwnedSlice,
    calls: Vec<(Arc<Call>, usize)>,
    /// Whether it comes from the outbox.
    is_group: bool,
}

impl UserData for Parcel {
    fn data(&self) -> &[u8] {
        self.events.as_ref()
    }
}

impl Parcel {
    fn end(&self, error: &SessionError) {
        self.calls.iter().for_each(|(call, _)| call.end(Err(error.clone())));
    }
}

impl Link {
    pub(super) fn new(vitals: &Arc<Vitals>, runtime: &Handle, library: Library<&'static Answers>) -> Self {
        Self {
            vitals: Arc::clone(vitals),
            runtime: runtime.clone(),
            library: RwLock::new(Some(library)),
            parcels: Mutex::default(),
            outbox: Mutex::new(Outbox::new(GROUP_EVENTS_MAX)),
            refusal: OnceLock::new(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Why the library takes no more packets.
    pub(super) fn refusal(&self) -> Option<SendError> {
        self.refusal.get().copied()
    }

    /// Sends a question. With `slot`, it owns a slot from now on.
    pub(super) fn ask<T>(
        self: &Arc<Self>,
        operation: OperationKind,
        events: Vec<T>,
        slot: Option<Arc<Vitals>>,
    ) -> Answering
    where
        T: NoUninit + Send,
    {
        let call = Call::new(slot);
        let events = SendOwnedSlice::from(events).into_as_bytes();
        self.send(operation, events, vec![(Arc::clone(&call), 0)], false);
        Answering::of(call)
    }

    /// Sends transfers, together with those of others. The call owns `slot` from now on.
    pub(super) fn create_transfers(self: &Arc<Self>, transfers: Vec<Transfer>, slot: Arc<Vitals>) -> Answering {
        let call = Call::new(Some(slot));
        let group = self.outbox().add(Arc::clone(&call), transfers);
        if let Some(group) = group {
            self.send_group(group);
        } else if self.refusal().is_some() || self.is_over.load(Ordering::Relaxed) {
            self.lose_waiting(); // Nothing comes back that would send them.
        }
        Answering::of(call)
    }

    fn send_group(self: &Arc<Self>, Group { events, calls }: Group<Arc<Call>, Transfer>) {
        let events = SendOwnedSlice::from(events).into_as_bytes();
        if !self.send(OperationKind::CreateTransfers, events, calls, true) {
            self.lose_waiting();
        }
    }

    /// False if there is no library that takes it; the calls have ended then.
    fn send(
        self: &Arc<Self>,
        operation: OperationKind,
        events: SendAsBytesOwnedSlice,
        calls: Vec<(Arc<Call>, usize)>,
        is_group: bool,
    ) -> bool {
        let library = self.library();
        if let Some(library) = library.as_ref().filter(|_| self.refusal().is_none()) {
            let mut parcels = self.parcels();
            let entry = parcels.vacant_entry();
            let parcel = Arc::new(Parcel { link: Arc::clone(self), place: entry.key(), events, calls, is_group });
            entry.insert(Arc::clone(&parcel));
            drop(parcels);
            library.submit(Packet::new(parcel, operation));
            return true;
        }
        drop(library);
        calls.into_iter().for_each(|(call, _)| call.end(Err(lost())));
        false
    }

    /// Who was answered has had time to ask again.
    pub(super) fn end_turn(self: &Arc<Self>, turn: Turn) {
        let group = self.outbox().end_turn(turn);
        if let Some(group) = group {
            self.send_group(group);
        }
    }

    /// The library is done with a packet.
    fn is_back(self: &Arc<Self>, parcel: &Parcel, outcome: Result<&Reply<'_>, SendError>) {
        if let Err(error) = outcome
            && matches!(error.kind(), SendErrorKind::TooMuchData)
            && 1 < parcel.calls.len()
        {
            let events = bytemuck::pod_collect_to_vec(parcel.data());
            let turn = self.outbox().too_large(Group { events, calls: parcel.calls.clone() });
            let again = Again::new(self, turn);
            self.forget(parcel);
            return drop(again);
        }
        // The turn begins before anybody is told, who may come back at once; its end is put behind them.
        let turn = if parcel.is_group { self.outbox().answered() } else { None };
        let again = turn.map(|turn| Again::new(self, turn));
        // Whoever reads what is logged may panic.
        let told = catch_unwind(AssertUnwindSafe(|| match outcome {
            Ok(reply) => self.answered(parcel, reply),
            Err(error) => self.refused(parcel, error),
        }));
        if told.is_err() {
            parcel.end(&SessionError::Lost("its answer could not be told".to_owned()));
        }
        self.forget(parcel);
        drop(again);
    }

    fn forget(&self, parcel: &Parcel) {
        drop(self.parcels().try_remove(parcel.place));
    }

    /// The library would not do it.
    fn refused(&self, parcel: &Parcel, error: SendError) {
        use SendErrorKind::{InvalidDataSize, InvalidOperation, TooMuchData};
        let is_about_this_packet = matches!(error.kind(), TooMuchData | InvalidOperation | InvalidDataSize);
        if !is_about_this_packet && self.is_over.load(Ordering::Relaxed) {
            parcel.end(&lost());
            return;
        }
        if !is_about_this_packet && self.refusal.set(error).is_ok() {
            self.vitals.mark_away(&format!("the cluster has ended the session: {error}"));
        }
        parcel.end(&SessionError::Lost(error.to_string()));
    }

    /// The cluster has done it.
    fn answered(&self, parcel: &Parcel, reply: &Reply<'_>) {
        let since_epoch = reply.timestamp.duration_since(UNIX_EPOCH).unwrap_or_default();
        let cluster_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        if !self.is_over.load(Ordering::Relaxed) {
            self.vitals.hear(cluster_ns);
        }
        if !parcel.is_group {
            let payload = reply.payload.to_vec();
            let (call, _) = parcel.calls.first().expect("a packet has a call");
            return call.end(Ok(RawAnswer { payload, cluster_ns }));
        }
        let counts = parcel.calls.iter().map(|(_, count)| *count);
        let Some(failures) = failures_of_each(reply.payload, counts) else {
            return parcel.end(&SessionError::Lost("the answer is about something else".to_owned()));
        };
        for ((call, _), payload) in parcel.calls.iter().zip(failures) {
            call.end(Ok(RawAnswer { payload, cluster_ns }));
        }
    }

    /// Its client is being dropped: what comes from now on is not heard. Returns the library, which is to be dropped
    /// before the calls are lost.
    pub(super) fn end(&self) -> Option<Library<&'static Answers>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.library.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends every call that has no outcome.
    pub(super) fn lose_all(&self) {
        let parcels = std::mem::take(&mut *self.parcels());
        for (_, parcel) in parcels {
            parcel.end(&lost());
        }
        self.lose_waiting();
    }

    pub(super) fn lose_waiting(&self) {
        let waiting = self.outbox().take_all();
        waiting.into_iter().for_each(|call| call.end(Err(lost())));
    }

    fn library(&self) -> RwLockReadGuard<'_, Option<Library<&'static Answers>>> {
        self.library.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn parcels(&self) -> MutexGuard<'_, Slab<Arc<Parcel>>> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox<Arc<Call>, Transfer>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost() -> SessionError {
    SessionError::Lost("its client ended before the cluster answered".to_owned())
}

/// What the library's thread calls.
pub(super) struct Answers;

impl Callbacks for Answers {
    type UserDataPtr = Arc<Parcel>;

    fn completion(&self, packet: Packet<Arc<Parcel>>, reply: Option<Reply<'_>>) {
        let status = packet.status();
        let parcel = packet.into_user_data();
        match (status, &reply) {
            (Err(error), _) => parcel.link.is_back(&parcel, Err(error)),
            (Ok(()), Some(reply)) => parcel.link.is_back(&parcel, Ok(reply)),
            (Ok(()), None) => unreachable!("the library gives a reply or an error"),
        }
    }
}
