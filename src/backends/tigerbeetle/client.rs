//! One client of the library, which keeps one request in flight and never gives up by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tigerbeetle_unofficial::core::Client as Library;
use tigerbeetle_unofficial::core::error::{NewClientError, SendError};
use tokio::runtime::Handle;

use super::link::{Answers, Link};
use super::vitals::Vitals;

/// A running client.
pub(super) struct Client {
    link: Arc<Link>,
}

impl Client {
    /// Starts one; it connects by itself. Takes some milliseconds.
    pub(super) fn start(
        cluster_id: u128,
        addresses: &[SocketAddr],
        vitals: &Arc<Vitals>,
        runtime: &Handle,
    ) -> Result<Self, NewClientError> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let library = Library::with_callback(cluster_id, addresses.join(","), &Answers)?;
        Ok(Self { link: Arc::new(Link::new(vitals, runtime, library)) })
    }

    /// The way to it, for whoever sends.
    pub(super) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Why the library takes no more packets.
    pub(super) fn refusal(&self) -> Option<SendError> {
        self.link.refusal()
    }
}

/// Dropping waits for the library's thread: not for a task to do, and not for that thread itself.
impl Drop for Client {
    fn drop(&mut self) {
        let (library, link) = (self.link.end(), Arc::clone(&self.link));
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
