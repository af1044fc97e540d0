//! One client of the library, and what its packets share. The library's own thread calls back into [`Answers`], which
//! owns nothing: after an eviction that thread may outlive the client, and everything it needs travels with its packet.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::UNIX_EPOCH;

use bytemuck::NoUninit;
use slab::Slab;
use tigerbeetle_unofficial::core::error::{NewClientError, SendError, SendErrorKind};
use tigerbeetle_unofficial::core::util::SendOwnedSlice;
use tigerbeetle_unofficial::core::{Callbacks, Client as Library, OperationKind, Packet, Reply};

use super::answer::SessionError;
use super::call::{Answering, Call, RawAnswer};
use super::vitals::Vitals;

/// Tables of packets on their way, so that callers and the library's thread seldom meet at one lock.
const SHARDS: usize = 8;

/// Where a packet stands in its link's tables.
#[derive(Clone, Copy)]
pub(super) struct Place {
    shard: usize,
    index: usize,
}

/// What the packets of one client share, and what outlives it as long as one of them is on its way.
pub(super) struct Link {
    vitals: Arc<Vitals>,
    /// The packets without an outcome. After an eviction the library forgets those that it is still given: without this
    /// table nobody would end them.
    calls: [Mutex<Slab<Arc<Call>>>; SHARDS],
    /// Why the library takes no more packets.
    refusal: OnceLock<SendError>,
    /// Whether its client was dropped, so that what comes says nothing about now.
    is_over: AtomicBool,
}

impl Link {
    pub(super) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    fn shard(&self, shard: usize) -> MutexGuard<'_, Slab<Arc<Call>>> {
        self.calls[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The packet at `place` has ended.
    pub(super) fn forget(&self, place: Place) {
        drop(self.shard(place.shard).try_remove(place.index));
    }

    /// Ends every packet that has no outcome.
    fn lose_all(&self) {
        for shard in 0..SHARDS {
            let calls = std::mem::take(&mut *self.shard(shard));
            for (_, call) in calls {
                call.end(Err(SessionError::Lost("its client ended before the cluster answered".to_owned())));
            }
        }
    }

    /// The library would not do it.
    fn refused(&self, call: &Call, error: SendError) {
        use SendErrorKind::{InvalidDataSize, InvalidOperation, TooMuchData};
        let is_about_this_packet = matches!(error.kind(), TooMuchData | InvalidOperation | InvalidDataSize);
        if !is_about_this_packet && self.refusal.set(error).is_ok() && !self.is_over.load(Ordering::Relaxed) {
            self.vitals.mark_away(&format!("the cluster has ended the session: {error}"));
        }
        call.end(Err(SessionError::Lost(error.to_string())));
    }

    /// The cluster has done it.
    fn answered(&self, call: &Call, reply: &Reply<'_>) {
        let since_epoch = reply.timestamp.duration_since(UNIX_EPOCH).unwrap_or_default();
        let cluster_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        if !self.is_over.load(Ordering::Relaxed) {
            self.vitals.hear(cluster_ns);
        }
        call.end(Ok(RawAnswer { payload: reply.payload.to_vec(), cluster_ns }));
    }
}

/// A running client of the library, which batches packets, keeps one request in flight and never gives up by itself.
pub(super) struct Client {
    link: Arc<Link>,
    /// `None` once it is dropped.
    library: Option<Library<&'static Answers>>,
}

impl Client {
    /// Starts one; it connects by itself. Takes some milliseconds.
    pub(super) fn start(
        cluster_id: u128,
        addresses: &[SocketAddr],
        vitals: &Arc<Vitals>,
    ) -> Result<Self, NewClientError> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let library = Library::with_callback(cluster_id, addresses.join(","), &Answers)?;
        let calls = std::array::from_fn(|_| Mutex::default());
        let (refusal, is_over) = (OnceLock::new(), AtomicBool::new(false));
        let link = Arc::new(Link { vitals: Arc::clone(vitals), calls, refusal, is_over });
        Ok(Self { link, library: Some(library) })
    }

    /// Sends one packet. With `slot`, it owns that slot from now on; its number spreads packets over the tables.
    pub(super) fn send<T>(&self, operation: OperationKind, events: Vec<T>, slot: Option<u64>) -> Answering
    where
        T: NoUninit + Send,
    {
        let events = SendOwnedSlice::from(events).into_as_bytes();
        let shard = slot.unwrap_or_default() as usize % SHARDS;
        let call = {
            let mut calls = self.link.shard(shard);
            let entry = calls.vacant_entry();
            let place = Place { shard, index: entry.key() };
            let call = Call::new(Arc::clone(&self.link), place, slot.is_some(), events);
            entry.insert(Arc::clone(&call));
            call
        };
        if let Some(library) = &self.library {
            library.submit(Packet::new(Arc::clone(&call), operation));
        }
        Answering::of(call)
    }

    /// Why the library takes no more packets.
    pub(super) fn refusal(&self) -> Option<SendError> {
        self.link.refusal.get().copied()
    }
}

/// Dropping waits for the library's thread: not for a task to do, and not for that thread itself.
impl Drop for Client {
    fn drop(&mut self) {
        self.link.is_over.store(true, Ordering::Relaxed);
        let (library, link) = (self.library.take(), Arc::clone(&self.link));
        let end = move || {
            drop(library);
            link.lose_all();
        };
        if thread::Builder::new().name("tigerbeetle-end".to_owned()).spawn(end).is_err() {
            // Without threads left the library was dropped here instead, with what `end` owned.
            self.link.lose_all();
        }
    }
}

/// What the library's thread calls.
pub(super) struct Answers;

impl Callbacks for Answers {
    type UserDataPtr = Arc<Call>;

    fn completion(&self, packet: Packet<Arc<Call>>, reply: Option<Reply<'_>>) {
        let status = packet.status();
        let call = packet.into_user_data();
        match (status, reply) {
            (Err(error), _) => call.link().refused(&call, error),
            (Ok(()), Some(reply)) => call.link().answered(&call, &reply),
            (Ok(()), None) => call.end(Err(SessionError::Lost("the client gave no answer".to_owned()))),
        }
    }
}
