//! The way to a cluster, in the hands of a test.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::addresses::nobody;

/// Another address of a cluster, from which it cannot be reached while the way is cut.
pub(crate) struct Way {
    address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
}

impl Way {
    pub(crate) fn to(cluster: SocketAddr) -> Self {
        Self::from(nobody().0.listen(64).expect("it is bound"), cluster)
    }

    /// The same at an address that somebody may know already.
    pub(crate) fn from(listener: TcpListener, cluster: SocketAddr) -> Self {
        let address = listener.local_addr().expect("an address");
        let is_cut = Arc::new(watch::channel(false).0);
        let is_cut_now = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut is_cut = is_cut_now.clone();
                tokio::spawn(async move {
                    let cut = is_cut.wait_for(|is_cut| *is_cut);
                    tokio::select! {
                        _ = cut => {}
                        () = carry(near, cluster) => {}
                    }
                });
            }
        });
        Self { address, is_cut }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn carry(mut near: TcpStream, cluster: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(cluster).await {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
